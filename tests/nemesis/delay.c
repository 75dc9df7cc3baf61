/* delay MS SPREAD: hold each packet of netfilter queue 7 for MS plus up to SPREAD milliseconds, in
 * order of arrival at its time. Ends on SIGTERM; packets that wait then are let go by the kernel.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>

#define WAITING_MAX 65536

static struct {
    long long due;
    unsigned id;
} waiting[WAITING_MAX];
static unsigned head, tail;
static long long base, spread;

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int arrived(struct nfq_q_handle *queue, struct nfgenmsg *message, struct nfq_data *data,
                   void *unused)
{
    struct nfqnl_msg_packet_hdr *packet = nfq_get_msg_packet_hdr(data);
    long long due = now_ms() + base + (spread > 0 ? random() % (spread + 1) : 0);

    (void)message;
    (void)unused;
    if (packet == NULL) {
        return 0;
    }
    if (tail - head == WAITING_MAX) {
        return nfq_set_verdict(queue, ntohl(packet->packet_id), NF_DROP, 0, NULL);
    }
    waiting[tail % WAITING_MAX].due = due;
    waiting[tail++ % WAITING_MAX].id = ntohl(packet->packet_id);
    return 0;
}

int main(int argc, char **argv)
{
    struct nfq_handle *netlink = nfq_open();
    struct nfq_q_handle *queue;
    struct pollfd poller;
    char bytes[65536];

    if (argc != 3 || netlink == NULL ||
        (queue = nfq_create_queue(netlink, 7, arrived, NULL)) == NULL ||
        nfq_set_mode(queue, NFQNL_COPY_META, 0) < 0) {
        fprintf(stderr, "delay: no queue\n");
        return 1;
    }
    base = atoll(argv[1]);
    spread = atoll(argv[2]);
    nfq_set_queue_maxlen(queue, WAITING_MAX);
    poller = (struct pollfd){.fd = nfq_fd(netlink), .events = POLLIN};
    for (;;) {
        long long rest = head == tail ? 1000 : waiting[head % WAITING_MAX].due - now_ms();

        if (poll(&poller, 1, rest > 0 ? (int)rest : 0) > 0) {
            ssize_t n = recv(poller.fd, bytes, sizeof bytes, 0);

            if (n > 0) {
                nfq_handle_packet(netlink, bytes, (int)n);
            }
        }
        while (head != tail && waiting[head % WAITING_MAX].due <= now_ms()) {
            nfq_set_verdict(queue, waiting[head++ % WAITING_MAX].id, NF_ACCEPT, 0, NULL);
        }
    }
}
