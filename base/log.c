#include "base/log.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LOG_MESSAGE_MAX 2048

static enum log_level log_least = LOG_LEVEL_INFO;
static char log_node[64];

void log_setup(enum log_level least, const char *node)
{
    log_least = least;
    snprintf(log_node, sizeof log_node, "%s", node);
}

int log_enabled(enum log_level level)
{
    return level >= log_least;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warn", "error"};
    char message[LOG_MESSAGE_MAX];
    char when[CLOCK_TEXT_MAX];
    struct buffer line;
    va_list args;

    if (!log_enabled(level) || level >= LOG_LEVEL_NONE) {
        return;
    }
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    clock_format(clock_wall_ms(), when);
    buffer_init(&line, sizeof message * 8);
    buffer_print(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"node\":", when, names[level]);
    json_escape(&line, bytes_of_string(log_node));
    buffer_append_string(&line, ",\"msg\":");
    json_escape(&line, bytes_of_string(message));
    buffer_append_string(&line, "}\n");
    /* A log that cannot be written must not take the registry down with it. */
    if (write(STDERR_FILENO, line.data, line.size) < 0) {
        buffer_clear(&line);
    }
    buffer_release(&line);
}
