#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Intrusive doubly linked list; the head is a link of its own. A link that is in no list points to
 * itself, so that list_remove() may be called twice. */
struct list {
    struct list *next, *previous;
};

static inline void list_init(struct list *list)
{
    list->next = list->previous = list;
}

static inline bool list_is_empty(const struct list *list)
{
    return list->next == list;
}

static inline void list_append(struct list *head, struct list *item)
{
    item->previous = head->previous;
    item->next = head;
    head->previous->next = item;
    head->previous = item;
}

static inline void list_remove(struct list *item)
{
    item->previous->next = item->next;
    item->next->previous = item->previous;
    list_init(item);
}

/* Move everything from one head to another, which must be empty. */
static inline void list_move(struct list *from, struct list *to)
{
    list_init(to);
    if (!list_is_empty(from)) {
        *to = *from;
        to->next->previous = to->previous->next = to;
        list_init(from);
    }
}

/* The current item may be removed in the body. */
/* NOLINTBEGIN(bugprone-macro-parentheses): item is a name to declare. */
#define LIST_FOR_EACH(item, head)                                                                  \
    for (struct list *item = (head)->next, *item##_next = item->next; item != (head);              \
         item = item##_next, item##_next = item->next)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
