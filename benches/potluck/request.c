/* P2 of the benchmark: the request of P1 through the C ABI. For each number on standard input it makes so many calls and prints what one took:
 * P2,64 B,round,<ns>,ns. Ends with the input. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "potluck.h"

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

int main(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_resource_t soup = {0};
  uint8_t body[64];
  char line[32];

  memset(body, 7, sizeof body);
  check(potluck_system_open("kitchen", NULL, &kitchen));
  check(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  check(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  check(potluck_peer_share(ada, "soup", body, sizeof body, NULL));

  while (fgets(line, sizeof line, stdin)) {
    const long calls = strtol(line, NULL, 10);
    const double start = now_ns();
    for (long call = 0; call < calls; call++) {
      check(potluck_peer_request(bob, "ada", "soup", 60000, &soup));
      check(potluck_resource_release(soup));
    }
    printf("P2,64 B,round,%.2f,ns\n", (now_ns() - start) / (double)calls);
    fflush(stdout);

    /* What is held now is what was shared: the calls did their work. */
    const uint8_t *data;
    size_t data_len;
    check(potluck_peer_get(bob, "soup", &soup));
    check(potluck_resource_data(soup, &data, &data_len));
    if (data_len != sizeof body || memcmp(data, body, sizeof body)) return EXIT_FAILURE;
    check(potluck_resource_release(soup));
  }
  check(potluck_system_shutdown(kitchen, 10000, NULL));
  return EXIT_SUCCESS;
}
