#ifndef BASE_LOG_H
#define BASE_LOG_H

/* Structured log: one JSON object a line on stderr, written with one write(2), from any thread.
 * {"ts":"2026-11-23T18:00:00.123Z","level":"info","node":"node-1","msg":"..."}; control bytes and
 * invalid UTF-8 are escaped, a message is cut at 2 KiB. Never log a password, token or key. */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR, LOG_LEVEL_NONE };

/* Before the first thread starts. node: the name on every line (copied, at most 63 bytes). */
void log_setup(enum log_level least, const char *node);
/* True when a line of this level would be written. */
int log_enabled(enum log_level level);
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define LOG_DEBUG(...)                                                                             \
    (log_enabled(LOG_LEVEL_DEBUG) ? log_line(LOG_LEVEL_DEBUG, __VA_ARGS__) : (void)0)
#define LOG_INFO(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define LOG_WARN(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define LOG_ERROR(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
