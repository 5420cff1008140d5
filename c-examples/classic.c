/* The classic peer-to-peer example: each peer asks another one for its resource and replaces its own with what it gets.
 *
 * A requester tells its partner RequestResource. The partner's on_message, on its own thread, prints the first line and
 * offers its resource; the requester's on_received, on its own thread, prints the second and lets the host go on. Then one
 * message of another kind, what each peer holds, and the same exchange once more by mingle, printed from events.
 *
 *   classic [--peers N] [--seed S]     the partners are the numbers of splitmix64(S): all hosts print the same lines
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "potluck.h"

#define TIMEOUT_MS 10000
#define RESOURCE "resource"

/* Ends the program unless the call succeeded. */
static void check(potluck_status_t status, const char *call) {
  if (status == POTLUCK_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", call, potluck_status_str(status), potluck_last_error());
  exit(1);
}

/* How many resources have arrived; on_received counts, the host waits. */
static struct {
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  uint64_t count;
} arrived = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void wait_for_arrival(uint64_t count) {
  struct timespec deadline;
  int error = 0;
  timespec_get(&deadline, TIME_UTC);
  deadline.tv_sec += TIMEOUT_MS / 1000;
  pthread_mutex_lock(&arrived.mutex);
  while (arrived.count < count && error == 0)
    error = pthread_cond_timedwait(&arrived.changed, &arrived.mutex, &deadline);
  pthread_mutex_unlock(&arrived.mutex);
  if (error != 0) {
    fprintf(stderr, "resource %" PRIu64 " did not arrive: %s\n", count, strerror(error));
    exit(1);
  }
}

static void print_data(potluck_resource_t resource) {
  const uint8_t *data;
  size_t data_len;
  check(potluck_resource_data(resource, &data, &data_len), "data");
  fwrite(data, 1, data_len, stdout);
}

/* user_data: the peer's own name. */
static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  potluck_message_info_t info = {.struct_size = sizeof info};
  check(potluck_message_info(message, &info), "message info");
  if (strcmp(info.kind, "RequestResource") != 0) {
    printf("%s received unknown message\n", (const char *)user_data);
    return POTLUCK_E_UNKNOWN_MESSAGE;
  }
  printf("%s received request from %s\n", (const char *)user_data, info.from);
  return potluck_peer_offer(peer, info.from, RESOURCE, TIMEOUT_MS);
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  (void)peer;
  pthread_mutex_lock(&arrived.mutex);
  printf("%s received resource from %s: ", (const char *)user_data, from);
  print_data(received);
  putchar('\n');
  arrived.count += 1;
  pthread_cond_signal(&arrived.changed);
  pthread_mutex_unlock(&arrived.mutex);
}

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t splitmix64(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static void peer_name(char name[POTLUCK_NAME_SIZE], uint64_t number) {
  snprintf(name, POTLUCK_NAME_SIZE, "peer%" PRIu64, number);
}

static void mingle(potluck_system_t system, const potluck_peer_t *peers, uint64_t seed) {
  potluck_events_t events;
  potluck_list_t list;
  potluck_event_t event = {.struct_size = sizeof event};
  potluck_resource_t held;
  potluck_status_t status;
  check(potluck_system_events(system, 1 << 20, &events), "events");
  check(potluck_system_mingle(system, RESOURCE, seed, TIMEOUT_MS, &list), "mingle");
  while ((status = potluck_events_next(events, 0, &event)) == POTLUCK_OK) {
    if (event.kind == POTLUCK_EVENT_REQUESTED) {
      printf("%s received request from %s\n", event.peer, event.other);
    } else if (event.kind == POTLUCK_EVENT_RECEIVED) {
      /* Events carry no body; what the peer got is what it holds now. */
      uint64_t number = strtoull(event.peer + strlen("peer"), NULL, 10);
      printf("%s received resource from %s: ", event.peer, event.other);
      check(potluck_peer_get(peers[number - 1], RESOURCE, &held), "get");
      print_data(held);
      putchar('\n');
      check(potluck_resource_release(held), "release");
    }
  }
  if (status != POTLUCK_E_TIMED_OUT) check(status, "events");
  check(potluck_list_release(list), "release");
  check(potluck_events_close(events), "close events");
}

/* A number from the command line, or usage. */
static uint64_t number(const char *text) {
  char *end = NULL;
  uint64_t value;
  errno = 0;
  value = text == NULL || *text == '-' ? 0 : strtoull(text, &end, 10);
  if (end == NULL || end == text || *end != '\0' || errno != 0) {
    fprintf(stderr, "usage: classic [--peers N] [--seed S]\n");
    exit(2);
  }
  return value;
}

int main(int argc, char **argv) {
  uint64_t peers_len = 3, seed = 1, random, i;
  potluck_system_t system;
  potluck_peer_t *peers;
  char(*names)[POTLUCK_NAME_SIZE];
  for (int at = 1; at < argc; at += 2) {
    if (strcmp(argv[at], "--peers") == 0) peers_len = number(argv[at + 1]);
    else if (strcmp(argv[at], "--seed") == 0) seed = number(argv[at + 1]);
    else number(NULL);
  }
  if (peers_len < 2) {
    fprintf(stderr, "--peers: an exchange needs at least 2\n");
    return 2;
  }
  peers = calloc(peers_len, sizeof *peers);
  names = calloc(peers_len, sizeof *names);
  if (peers == NULL || names == NULL) {
    fprintf(stderr, "no memory for %" PRIu64 " peers\n", peers_len);
    return 1;
  }
  setvbuf(stdout, NULL, _IOLBF, 0);
  random = seed;

  check(potluck_check(POTLUCK_ABI, NULL), "check");
  check(potluck_system_open("PeerSystem", NULL, &system), "open");
  for (i = 0; i < peers_len; i++) {
    char text[64];
    int text_len = snprintf(text, sizeof text, "Peer %" PRIu64 ": Initial Resource", i + 1);
    potluck_peer_options_t options = {
        .struct_size = sizeof options, .on_message = on_message, .on_received = on_received, .user_data = names[i]};
    peer_name(names[i], i + 1);
    check(potluck_peer_spawn(system, names[i], &options, &peers[i]), "spawn");
    check(potluck_peer_share(peers[i], RESOURCE, text, (size_t)text_len, NULL), "share");
  }

  for (i = 0; i < peers_len; i++) {
    uint64_t partner = splitmix64(&random) % (peers_len - 1);
    if (partner >= i) partner++;
    check(potluck_peer_tell(peers[i], names[partner], "RequestResource", names[i], strlen(names[i]), TIMEOUT_MS), "tell");
    wait_for_arrival(i + 1);
  }
  if (potluck_peer_ask(peers[peers_len - 1], names[0], "Hello", NULL, 0, TIMEOUT_MS, NULL) != POTLUCK_E_UNKNOWN_MESSAGE) {
    fprintf(stderr, "peer1 knows Hello\n");
    return 1;
  }

  for (i = 0; i < peers_len; i++) {
    potluck_resource_t held;
    potluck_resource_info_t info = {.struct_size = sizeof info};
    check(potluck_peer_get(peers[i], RESOURCE, &held), "get");
    check(potluck_resource_info(held, &info), "info");
    printf("%s holds ", names[i]);
    print_data(held);
    printf(" (version %" PRIu64 " by %s)\n", info.version, info.origin);
    check(potluck_resource_release(held), "release");
  }
  printf("mingle:\n");
  mingle(system, peers, seed);

  check(potluck_system_shutdown(system, TIMEOUT_MS, NULL), "shutdown");
  printf("%" PRIu64 " exchanges between %" PRIu64 " peers\n", 2 * peers_len, peers_len);
  free(names);
  free(peers);
  return 0;
}
