/* What every C test uses: a check that names its line, and a test that ends by a deadline instead of hanging. */
#ifndef HARNESS_H
#define HARNESS_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "potluck.h"

/* The tests are C, and are compiled as C++, too, which has the same atomics under other names. */
#ifdef __cplusplus
#include <atomic>
#define ATOMIC(type) std::atomic<type>
using std::atomic_fetch_add;
using std::atomic_load;
using std::atomic_store;
#else
#include <stdatomic.h>
#define ATOMIC(type) _Atomic(type)
#endif

/* Whoever compiles may give another one. */
#ifndef DEADLINE_S
#define DEADLINE_S 60
#endif
#define TIMEOUT_MS 10000

/* Of each thread; end counts those of the first. */
static __thread unsigned checked = 0;

/* Ends the test unless the condition holds. */
#define CHECK(condition)                                                                             \
  do {                                                                                               \
    checked++;                                                                                       \
    if (!(condition)) {                                                                              \
      fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #condition,        \
              potluck_last_error());                                                                 \
      exit(1);                                                                                       \
    }                                                                                                \
  } while (0)

/* Ends the test unless the call gives this status. */
#define EXPECT(wanted, call)                                                                         \
  do {                                                                                               \
    potluck_status_t expect_status = (call);                                                         \
    checked++;                                                                                       \
    if (expect_status != (wanted)) {                                                                 \
      fprintf(stderr, "%s:%d: %s gives %d (%s), not %s (last error: %s)\n", __FILE__, __LINE__,      \
              #call, (int)expect_status, potluck_status_str(expect_status), #wanted,                 \
              potluck_last_error());                                                                 \
      exit(1);                                                                                       \
    }                                                                                                \
  } while (0)

#define OK(call) EXPECT(POTLUCK_OK, call)

/* A failure whose text contains these words. */
#define EXPECT_TEXT(wanted, words, call)                                                             \
  do {                                                                                               \
    EXPECT(wanted, call);                                                                            \
    CHECK(strstr(potluck_last_error(), words) != NULL);                                              \
  } while (0)

/* Call first: SIGALRM ends a test that hangs. */
static inline void begin(void) {
  alarm(DEADLINE_S);
  OK(potluck_check(POTLUCK_ABI, NULL));
}

/* Call last. */
static inline int end(const char *name) {
  printf("%s: %u checks passed\n", name, checked);
  return 0;
}

/* Whether a resource has exactly these bytes. */
static inline int holds(potluck_resource_t resource, const char *text) {
  const uint8_t *data;
  size_t data_len;
  OK(potluck_resource_data(resource, &data, &data_len));
  return data != NULL && data_len == strlen(text) && memcmp(data, text, data_len) == 0;
}

#endif
