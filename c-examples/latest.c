/* The latest: a fast producer shares one version after another, slow consumers take the newest that there is. Nobody waits for
 * anybody, nothing queues up, and each version is whole: all its numbers are the same.
 *
 * Prints what the consumers have seen in the end. */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "potluck.h"

#define TIMEOUT_MS 10000
#define VERSIONS 20000
#define NUMBERS 1000
#define CONSUMERS 3

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

/* Each version is a run of its own number. The first was shared before anybody could ask. */
static void *produce(void *sensor) {
  uint64_t numbers[NUMBERS];
  for (uint64_t number = 2; number <= VERSIONS; number++) {
    for (int i = 0; i < NUMBERS; i++) numbers[i] = number;
    check(potluck_peer_share(*(potluck_peer_t *)sensor, "reading", numbers, sizeof numbers, NULL), "share");
  }
  return NULL;
}

/* Takes what is newer than what it has, until the last version has come. */
static void *consume(void *consumer) {
  const struct timespec slow = {0, 1000 * 1000};
  potluck_resource_t newest = {0}, newer;
  potluck_resource_info_t info = {.struct_size = sizeof info};
  do {
    potluck_status_t status =
        potluck_peer_request_newer(*(potluck_peer_t *)consumer, "sensor", "reading", newest, TIMEOUT_MS, &newer);
    nanosleep(&slow, NULL);
    if (status == POTLUCK_NOT_NEWER) continue;
    check(status, "request newer");
    if (newest.id != 0) check(potluck_resource_release(newest), "release");
    newest = newer;
    check(potluck_resource_info(newest, &info), "info");
    const uint64_t *numbers = (const void *)info.data;
    for (int i = 0; i < NUMBERS; i++)
      if (numbers[i] != info.version) printf("version %" PRIu64 " is torn\n", info.version);
  } while (info.version < VERSIONS);
  check(potluck_resource_release(newest), "release");
  return NULL;
}

int main(void) {
  static const char *const names[CONSUMERS] = {"ada", "bob", "eve"};
  potluck_system_t plant;
  potluck_peer_t sensor, peers[CONSUMERS];
  pthread_t producer, consumers[CONSUMERS];
  uint64_t first[NUMBERS];
  for (int i = 0; i < NUMBERS; i++) first[i] = 1;
  check(potluck_system_open("plant", NULL, &plant), "open");
  check(potluck_peer_spawn(plant, "sensor", NULL, &sensor), "spawn");
  check(potluck_peer_share(sensor, "reading", first, sizeof first, NULL), "share");
  for (int i = 0; i < CONSUMERS; i++) {
    check(potluck_peer_spawn(plant, names[i], NULL, &peers[i]), "spawn");
    if (pthread_create(&consumers[i], NULL, consume, &peers[i]) != 0) return 1;
  }
  if (pthread_create(&producer, NULL, produce, &sensor) != 0 || pthread_join(producer, NULL) != 0) return 1;
  for (int i = 0; i < CONSUMERS; i++)
    if (pthread_join(consumers[i], NULL) != 0) return 1;
  printf("%d versions, %d consumers, all have the last, none was torn\n", VERSIONS, CONSUMERS);
  check(potluck_system_shutdown(plant, TIMEOUT_MS, NULL), "shutdown");
  return 0;
}
