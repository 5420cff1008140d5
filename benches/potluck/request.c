/* P2 and P11 of the benchmark through the C ABI: requests of 64 bytes. Reads lines, `<calls>` or `<calls> <threads>`, makes so many calls, in so
 * many threads each on a core of its own, and prints what one took, of the slowest thread: P2,64 B,round,<ns>,ns or P11,in C,round,<ns>,ns.
 * Threads have peers of their own. Ends with the input. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "potluck.h"

#define THREADS_MAX 2

static const char *const givers[THREADS_MAX] = {"ada", "eve"};
static const char *const soups[THREADS_MAX] = {"soup", "other soup"};
static potluck_peer_t takers[THREADS_MAX];
static pthread_barrier_t start;
static uint8_t body[64];

struct round {
  int at, core;
  long calls;
  double ns;
};

static void check(potluck_status_t status) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s\n", potluck_last_error());
  exit(EXIT_FAILURE);
}

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* What one of so many requests took. */
static double request(int at, long calls) {
  const double began = now_ns();
  potluck_resource_t soup;
  for (long call = 0; call < calls; call++) {
    check(potluck_peer_request(takers[at], givers[at], soups[at], 60000, &soup));
    check(potluck_resource_release(soup));
  }
  return (now_ns() - began) / (double)calls;
}

static void *run(void *argument) {
  struct round *round = argument;
  cpu_set_t core;
  CPU_ZERO(&core);
  CPU_SET(round->core, &core);
  if (pthread_setaffinity_np(pthread_self(), sizeof core, &core)) exit(EXIT_FAILURE);
  pthread_barrier_wait(&start);
  round->ns = request(round->at, round->calls);
  return NULL;
}

static double together(long calls, int threads) {
  struct round rounds[THREADS_MAX];
  pthread_t made[THREADS_MAX];
  cpu_set_t allowed;
  double slowest = 0;
  if (threads > THREADS_MAX || sched_getaffinity(0, sizeof allowed, &allowed)) exit(EXIT_FAILURE);
  pthread_barrier_init(&start, NULL, (unsigned)threads);
  for (int at = 0, core = 0; at < threads; at++, core++) {
    while (core < CPU_SETSIZE && !CPU_ISSET(core, &allowed)) core++;
    rounds[at] = (struct round){at, core, calls, 0};
    if (core == CPU_SETSIZE || pthread_create(&made[at], NULL, run, &rounds[at])) exit(EXIT_FAILURE);
  }
  for (int at = 0; at < threads; at++) {
    pthread_join(made[at], NULL);
    if (rounds[at].ns > slowest) slowest = rounds[at].ns;
  }
  pthread_barrier_destroy(&start);
  return slowest;
}

int main(void) {
  static const char *const takers_names[THREADS_MAX] = {"bob", "fay"};
  potluck_system_t kitchen;
  char line[32];

  memset(body, 7, sizeof body);
  check(potluck_system_open("kitchen", NULL, &kitchen));
  for (int at = 0; at < THREADS_MAX; at++) {
    potluck_peer_t giver;
    check(potluck_peer_spawn(kitchen, givers[at], NULL, &giver));
    check(potluck_peer_spawn(kitchen, takers_names[at], NULL, &takers[at]));
    check(potluck_peer_share(giver, soups[at], body, sizeof body, NULL));
  }

  while (fgets(line, sizeof line, stdin)) {
    long calls = 0;
    int threads = 0;
    const int read = sscanf(line, "%ld %d", &calls, &threads);
    if (read < 1) return EXIT_FAILURE;
    if (read == 1)
      printf("P2,64 B,round,%.2f,ns\n", request(0, calls));
    else
      printf("P11,in C,round,%.2f,ns\n", together(calls, threads));
    fflush(stdout);

    /* What is held now is what was shared: the calls did their work. */
    for (int at = 0; at < (read == 1 ? 1 : threads); at++) {
      potluck_resource_t soup;
      const uint8_t *data;
      size_t data_len;
      check(potluck_peer_get(takers[at], soups[at], &soup));
      check(potluck_resource_data(soup, &data, &data_len));
      if (data_len != sizeof body || memcmp(data, body, sizeof body)) return EXIT_FAILURE;
      check(potluck_resource_release(soup));
    }
  }
  check(potluck_system_shutdown(kitchen, 10000, NULL));
  return EXIT_SUCCESS;
}
