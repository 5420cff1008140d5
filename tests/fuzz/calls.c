/* Random calls of every function, by several threads and from inside callbacks: with ids that are live, stale, forged or of another kind,
 * pointers that are NULL or valid, sizes that are right or wrong, and timeouts of 0. Every call must give a status, never INTERNAL or PANIC;
 * an out-parameter is 0 after a failure; nothing hangs; and in the end each user data was dropped once, each buffer released once,
 * and no id is left.
 *
 *   calls [--calls N] [--seconds S] [--threads T] [--seed X]
 *
 * The seed is printed. The same seed gives each thread the same random numbers; with one thread, and but for what the peers' own threads
 * do meanwhile, the same calls. Prints for each function how often it gave which status.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "potluck.h"

/* With how often each is called. Systems and peers live long enough for something to happen; what is released is also what another
 * takes the place of. */
#define FUNCTIONS(F)                                                                                 \
  F(check, 2) F(status_str, 2) F(last_error, 2) F(last_error_detail, 10) F(set_error, 20)            \
  F(system_open, 4) F(system_shutdown, 1) F(system_peers, 10) F(system_holders, 20)                  \
  F(system_mingle, 10) F(system_dead_letters, 10) F(system_snapshot, 4) F(system_events, 4)          \
  F(system_wait_for, 10) F(events_next, 100) F(events_close, 2)                                      \
  F(peer_spawn, 60) F(peer_close, 4) F(peer_share, 100) F(peer_share_if, 100)                        \
  F(peer_share_owned, 100) F(peer_unshare, 40) F(peer_get, 100) F(peer_resources, 20)                \
  F(peer_request, 150) F(peer_request_newer, 150) F(peer_fetch, 100) F(peer_offer, 150)              \
  F(peer_exchange, 150) F(peer_tell, 150) F(peer_ask, 150) F(peer_receive, 150) F(peer_start, 300)   \
  F(pending_wait, 150) F(pending_release, 50) F(resource_keep, 100) F(resource_data, 100)            \
  F(resource_info, 100) F(resource_release, 50) F(message_info, 100) F(message_reply, 100)           \
  F(message_release, 50) F(list_items, 50) F(list_release, 20) F(events_fd, 10) F(peer_fd, 10)       \
  F(pending_fd, 10)

#define F(name, weight) f_##name,
enum { FUNCTIONS(F) functions_len };
#undef F
#define F(name, weight) "potluck_" #name,
static const char *const names[] = {FUNCTIONS(F)};
#undef F
#define F(name, weight) weight,
static const unsigned weights[] = {FUNCTIONS(F)};
#undef F

enum { SYSTEM, PEER, EVENTS, RESOURCE, MESSAGE, LIST, PENDING, KINDS };

#define STATUSES 128
#define PLACES 32
#define SYSTEMS_MAX (1 << 20)
#define THREADS_MAX 64
#define HANG_S 60
#define DEPTH_MAX 2
#define MAGIC UINT64_C(0x706f746c75636b21)

/* How often each function gave each status. */
static _Atomic uint64_t given[functions_len][STATUSES];
/* Ids that were issued; they stay here when they are over, until another takes their place. */
static _Atomic uint64_t pool[KINDS][PLACES];
/* How many were put there: the place of the next one. */
static atomic_uint kept[KINDS];
/* Few systems live at a time: each has its peers' threads. */
static const unsigned places[KINDS] = {3, PLACES, PLACES, PLACES, PLACES, PLACES, PLACES};
/* All systems, so that each can be ended. */
static uint64_t systems[SYSTEMS_MAX];
static atomic_uint systems_len;
static _Atomic uint64_t spawned, dropped, adopted, released;

static uint64_t seed;
static atomic_uint others;
/* Of each thread that this program made: how many calls it has made, and which one it is in. */
static struct {
  _Alignas(128) _Atomic uint64_t calls;
  atomic_int function;
} progress[THREADS_MAX];
static uint64_t calls_max;
static atomic_int stops;

static _Thread_local uint64_t state;
static _Thread_local int depth;

static void fail(const char *function, const char *what, int64_t number) {
  fprintf(stderr, "calls: %s: %s (%" PRId64 "; last error: %s); --seed %" PRIu64 "\n", function, what, number,
          potluck_last_error(), seed);
  abort();
}

/* Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014. */
static uint64_t splitmix64(uint64_t *of) {
  uint64_t z = (*of += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static uint64_t any(uint64_t below) {
  /* A thread of the library, inside a callback. */
  if (state == 0) state = seed + (uint64_t)(THREADS_MAX + atomic_fetch_add(&others, 1)) * UINT64_C(0x632be59bd9b4e019);
  return splitmix64(&state) % below;
}

static int once_in(uint64_t n) { return any(n) == 0; }

/* The random arguments. */

static uint64_t any_id(int kind) {
  /* One of the newest, most of the time: it is likely to live. */
  const uint64_t back = 1 + any(once_in(4) ? PLACES : 3);
  const uint64_t id = atomic_load(&pool[kind][(atomic_load(&kept[kind]) - back) % places[kind]]);
  switch (any(80)) {
  case 0: return 0;
  case 1: return splitmix64(&state);
  case 2: return id ^ UINT64_C(1) << any(64);
  case 3: return atomic_load(&pool[any(KINDS)][any(PLACES)]);
  case 4: return UINT64_MAX >> any(64);
  default: return id;
  }
}

static const char *of(const char *const *texts, uint64_t len) { return texts[any(len)]; }

static char too_long[300];

static const char *any_bad_text(void) {
  static const char *const bad[] = {NULL, "", "a*b", "\xff\xfe", "a\nb", "a//b", "a@b", too_long, "/", "\xc3\xa4"};
  return of(bad, sizeof bad / sizeof *bad);
}

static const char *any_peer(void) {
  static const char *const peers[] = {"ada", "bob", "eve", "dan", "fay", "gus"};
  return once_in(20) ? any_bad_text() : of(peers, sizeof peers / sizeof *peers);
}

static const char *any_name(void) {
  static const char *const resources[] = {"soup", "bread", "cake/plum"};
  return once_in(20) ? any_bad_text() : of(resources, sizeof resources / sizeof *resources);
}

static const char *any_kind(void) {
  static const char *const kinds[] = {"hello", "taste"};
  return once_in(20) ? any_bad_text() : of(kinds, sizeof kinds / sizeof *kinds);
}

static int64_t any_timeout(void) {
  static const int64_t wrong[] = {-2, INT64_MIN, -1000};
  return once_in(50) ? wrong[any(3)] : 0;
}

static const char body[2048] = "constant";

static const void *any_body(size_t *len) {
  switch (any(30)) {
  case 0: return *len = 0, NULL;
  case 1: return *len = 1 + any(100), NULL;
  case 2: return *len = SIZE_MAX - any(100), body;
  case 3: return *len = any(sizeof body), body;
  default: return *len = any(16), body;
  }
}

/* Room for a struct that says its size, and for what lies beyond a wrong one. */
typedef union sized {
  size_t struct_size;
  potluck_system_options_t system;
  potluck_peer_options_t peer;
  potluck_call_t call;
  potluck_event_t event;
  potluck_error_t error;
  potluck_resource_info_t resource;
  potluck_message_info_t message;
  unsigned char room[4096];
} sized;

/* A right size most of the time. */
static size_t any_size(size_t right) {
  switch (any(30)) {
  case 0: return any(right);
  case 1: return right + any(sizeof(sized) - right);
  case 2: return (1 << 16) + 1 + any(1 << 30);
  default: return right;
  }
}

/* What is given to the library and comes back. */

typedef struct user {
  uint64_t magic;
} user;

static void random_call(void);

/* Set when all is to end: what a callback would open then, nobody would close. */
static _Atomic int is_over;

/* The calls of a callback leave its thread as a callback found it. */
static void calls_inside(void) {
  if (depth >= DEPTH_MAX || atomic_load(&is_over)) return;
  depth++;
  for (uint64_t left = any(3); left > 0; left--) random_call();
  depth--;
}

static void check_user(const void *user_data) {
  if (user_data != NULL && ((const user *)user_data)->magic != MAGIC) fail("a callback", "its user data is gone", 0);
}

static void drop(void *user_data) {
  check_user(user_data);
  ((user *)user_data)->magic = 0;
  free(user_data);
  calls_inside();
  atomic_fetch_add(&dropped, 1);
}

static potluck_status_t any_answer(void) {
  static const potluck_status_t answers[] = {POTLUCK_E_REFUSED, POTLUCK_E_UNKNOWN_MESSAGE, POTLUCK_E_HANDLER_FAILED,
                                             POTLUCK_E_PANIC, -1, 12345, POTLUCK_NOT_NEWER};
  return once_in(3) ? answers[any(sizeof answers / sizeof *answers)] : POTLUCK_OK;
}

static void keep(int kind, uint64_t id);

static potluck_status_t on_message(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  check_user(user_data);
  (void)peer;
  if (once_in(2)) potluck_message_reply(message, body, any(16));
  calls_inside();
  if (once_in(4)) {
    keep(MESSAGE, message.id);
    return POTLUCK_PENDING;
  }
  return any_answer();
}

static potluck_status_t on_request(potluck_peer_t peer, const char *from, const char *name, void *user_data) {
  check_user(user_data);
  if (strlen(from) == 0 || strlen(name) == 0) fail("on_request", "an empty name", 0);
  if (once_in(4)) potluck_peer_share(peer, name, body, any(16), NULL);
  calls_inside();
  return any_answer();
}

static potluck_status_t on_offer(potluck_peer_t peer, const char *from, potluck_resource_t offered, void *user_data) {
  potluck_resource_t kept;
  check_user(user_data);
  (void)peer;
  if (strlen(from) == 0) fail("on_offer", "an empty name", 0);
  if (once_in(4) && potluck_resource_keep(offered, &kept) == POTLUCK_OK) keep(RESOURCE, kept.id);
  calls_inside();
  return any_answer();
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  check_user(user_data);
  (void)peer, (void)received;
  if (strlen(from) == 0) fail("on_received", "an empty name", 0);
  calls_inside();
}

static void on_stop(potluck_peer_t peer, void *user_data) {
  check_user(user_data);
  (void)peer;
  calls_inside();
}

static void let_go(const uint8_t *data, size_t data_len, void *user_data) {
  for (size_t i = 0; i < data_len; i++)
    if (data[i] != (uint8_t)data_len) fail("a release", "the buffer has changed", (int64_t)data_len);
  if (user_data != (const void *)(data + data_len)) fail("a release", "another user data", 0);
  free((void *)(uintptr_t)data);
  calls_inside();
  atomic_fetch_add(&released, 1);
}

/* Takes the status of a call into account. */
static potluck_status_t note(int function, potluck_status_t status) {
  if (status < 0 || status >= STATUSES || status == POTLUCK_E_INTERNAL || status == POTLUCK_E_PANIC ||
      strcmp(potluck_status_str(status), "unknown status") == 0)
    fail(names[function], "a status that cannot be", status);
  if (status >= 10 && strlen(potluck_last_error()) == 0) fail(names[function], "no text", status);
  atomic_fetch_add_explicit(&given[function][status], 1, memory_order_relaxed);
  return status;
}

static void expect_out(int function, potluck_status_t status, uint64_t id, int is_given) {
  if (status >= 10 && id != 0) fail(names[function], "out is not 0 after a failure", status);
  if (is_given && id == 0) fail(names[function], "out is 0", status);
}

/* Ends an id that nobody shall have any more. It may be over. */
static void let_end(int kind, uint64_t id) {
  switch (kind) {
  case SYSTEM: note(f_system_shutdown, potluck_system_shutdown((potluck_system_t){id}, 0, NULL)); break;
  case PEER: note(f_peer_close, potluck_peer_close((potluck_peer_t){id}, 0)); break;
  case EVENTS: note(f_events_close, potluck_events_close((potluck_events_t){id})); break;
  case RESOURCE: note(f_resource_release, potluck_resource_release((potluck_resource_t){id})); break;
  case MESSAGE: note(f_message_release, potluck_message_release((potluck_message_t){id})); break;
  case LIST: note(f_list_release, potluck_list_release((potluck_list_t){id})); break;
  default: note(f_pending_release, potluck_pending_release((potluck_pending_t){id})); break;
  }
}

/* Puts an id among those that all threads use. */
static void keep(int kind, uint64_t id) {
  uint64_t before;
  if (id == 0) return;
  if (kind == SYSTEM) {
    unsigned at = atomic_fetch_add(&systems_len, 1);
    if (at >= SYSTEMS_MAX) fail("this program", "it has no room for so many systems", at);
    systems[at] = id;
  }
  before = atomic_exchange(&pool[kind][atomic_fetch_add(&kept[kind], 1) % places[kind]], id);
  if (before != 0) let_end(kind, before);
}

/* One more call, and what it gave: `out` is NULL if the caller does not want it. */
#define OUT(type, kind, call)                                                                        \
  do {                                                                                               \
    type got = {any(2)}, *out = once_in(10) ? NULL : &got;                                           \
    status = (call);                                                                                 \
    if (out != NULL) {                                                                               \
      expect_out(function, status, got.id, status == POTLUCK_OK && function != f_pending_wait);      \
      keep(kind, got.id);                                                                            \
    }                                                                                                \
  } while (0)
#define OUT_RESOURCE(call) OUT(potluck_resource_t, RESOURCE, call)
#define OUT_LIST(call) OUT(potluck_list_t, LIST, call)

static potluck_status_t open_system(void) {
  int function = f_system_open;
  potluck_status_t status;
  sized options;
  const potluck_system_options_t *given_options = NULL;
  memset(&options, 0, sizeof options);
  if (!once_in(3)) {
    given_options = &options.system;
    options.struct_size = any_size(sizeof options.system);
    options.system.peers_max = once_in(2) ? 0 : 1 + any(8);
    options.system.mailbox_messages_max = any(5);
    options.system.mailbox_bytes_max = once_in(5) ? 1 + any(64) : 0;
    options.system.shelf_bytes_max = once_in(5) ? 1 + any(64) : 0;
    options.system.resource_bytes_max = once_in(5) ? 1 + any(64) : 0;
    options.system.dead_letters_max = any(3);
    options.system.close_on_handler_failure = (uint32_t)any(2);
    options.system.lazy_threads = (uint32_t)once_in(10);
    options.system.drop_timeout_ms = once_in(10) ? any_timeout() : 0;
    if (once_in(20)) options.room[sizeof options.room - 1] = 1;
  }
  OUT(potluck_system_t, SYSTEM, potluck_system_open(any_peer(), given_options, out));
  return status;
}

static potluck_status_t spawn(void) {
  int function = f_peer_spawn;
  potluck_status_t status;
  sized options;
  const potluck_peer_options_t *given_options = NULL;
  memset(&options, 0, sizeof options);
  if (!once_in(3)) {
    given_options = &options.peer;
    options.struct_size = any_size(sizeof options.peer);
    if (any(2)) options.peer.on_message = on_message;
    if (any(2)) options.peer.on_request = on_request;
    if (any(2)) options.peer.on_offer = on_offer;
    if (any(2)) options.peer.on_received = on_received;
    if (any(2)) options.peer.on_stop = on_stop;
    options.peer.mailbox_messages_max = once_in(5) ? 1 + any(4) : 0;
    options.peer.shelf_bytes_max = once_in(5) ? 1 + any(64) : 0;
    /* Where the library does not get to know of the user data, nobody would drop it. */
    if (options.struct_size % sizeof(size_t) == 0 && options.struct_size <= sizeof options &&
        options.struct_size >= offsetof(potluck_peer_options_t, mailbox_messages_max)) {
      options.peer.user_data = malloc(sizeof(user));
      if (options.peer.user_data == NULL) fail(names[function], "no memory", 0);
      ((user *)options.peer.user_data)->magic = MAGIC;
      options.peer.drop = drop;
      atomic_fetch_add(&spawned, 1);
    }
  }
  OUT(potluck_peer_t, PEER, potluck_peer_spawn((potluck_system_t){any_id(SYSTEM)}, any_peer(), given_options, out));
  return status;
}

static potluck_status_t share_owned(void) {
  size_t len = any(200);
  uint64_t version = 7;
  uint8_t *data;
  potluck_status_t status;
  potluck_peer_t peer = {any_id(PEER)};
  if (once_in(10)) {
    const void *constant = any_body(&len);
    status = potluck_peer_share_owned(peer, any_name(), constant, len, NULL, NULL, NULL);
  } else {
    data = malloc(len + 1);
    if (data == NULL) fail(names[f_peer_share_owned], "no memory", 0);
    memset(data, (int)(uint8_t)len, len + 1);
    atomic_fetch_add(&adopted, 1);
    status = potluck_peer_share_owned(peer, any_name(), data, len, let_go, data + len, &version);
    expect_out(f_peer_share_owned, status, version, status == POTLUCK_OK);
  }
  return status;
}

static potluck_status_t start(void) {
  int function = f_peer_start;
  potluck_status_t status;
  sized call;
  const potluck_call_t *given_call = once_in(50) ? NULL : &call.call;
  memset(&call, 0, sizeof call);
  call.struct_size = any_size(sizeof call.call);
  call.call.verb = once_in(20) ? (uint32_t)any(UINT32_MAX) : (uint32_t)(1 + any(6));
  call.call.to = call.call.verb == POTLUCK_CALL_FETCH && !once_in(10) ? NULL : any_peer();
  call.call.name = any_name();
  if (call.call.verb >= POTLUCK_CALL_TELL || once_in(20)) {
    size_t len;
    call.call.data = any_body(&len);
    call.call.data_len = len;
  }
  if (call.call.verb == POTLUCK_CALL_REQUEST && any(2)) call.call.than.id = any_id(RESOURCE);
  call.call.timeout_ms = once_in(3) ? 1 + (int64_t)any(20) : any_timeout();
  call.call.reserved = (uint32_t)once_in(50);
  if (call.struct_size < sizeof call.call && any(2)) memset(call.room + call.struct_size, 0xff, sizeof call - call.struct_size);
  OUT(potluck_pending_t, PENDING, potluck_peer_start((potluck_peer_t){any_id(PEER)}, given_call, out));
  return status;
}

/* A descriptor is closed at once. */
#define OUT_FD(call)                                                                                 \
  do {                                                                                               \
    int fd = 7, *out = once_in(10) ? NULL : &fd;                                                     \
    status = (call);                                                                                 \
    if (out != NULL && (status == POTLUCK_OK ? close(fd) != 0 : fd != -1)) fail(names[function], "no descriptor", fd); \
  } while (0)

/* A struct that the library fills in, or none. */
#define FILLED(field, call)                                                                          \
  do {                                                                                               \
    sized filled;                                                                                    \
    filled.struct_size = any_size(sizeof filled.field);                                              \
    void *info = once_in(20) ? NULL : &filled;                                                       \
    status = (call);                                                                                 \
  } while (0)

static size_t any_capacity(void) {
  static const size_t capacities[] = {0, 1, 16, 256, SIZE_MAX};
  return capacities[any(5)];
}

static potluck_status_t call(int function) {
  const potluck_system_t system = {any_id(SYSTEM)};
  const potluck_peer_t peer = {any_id(PEER)};
  const potluck_events_t events = {any_id(EVENTS)};
  const potluck_resource_t resource = {any_id(RESOURCE)};
  const potluck_message_t message = {any_id(MESSAGE)};
  const potluck_list_t list = {any_id(LIST)};
  const potluck_pending_t pending = {any_id(PENDING)};
  const potluck_item_t *items = NULL;
  const uint8_t *data = NULL;
  uint64_t version = 7, *out_version = any(2) ? &version : NULL;
  size_t len, out_len = 7;
  const void *bytes = any_body(&len);
  potluck_status_t status = POTLUCK_OK;
  uint32_t number = 0;
  switch (function) {
  case f_check: status = potluck_check((uint32_t)any(3), any(2) ? &number : NULL); break;
  case f_status_str:
    if (strlen(potluck_status_str((potluck_status_t)any(UINT64_C(1) << 32))) == 0) fail(names[function], "no text", 0);
    break;
  case f_last_error:
    if (potluck_last_error() == NULL) fail(names[function], "NULL", 0);
    break;
  case f_last_error_detail: FILLED(error, potluck_last_error_detail(info)); break;
  case f_set_error: status = potluck_set_error(once_in(3) ? any_bad_text() : "it is cold"); break;
  case f_system_open: status = open_system(); break;
  case f_system_shutdown: OUT_LIST(potluck_system_shutdown(system, any_timeout(), out)); break;
  case f_system_peers: OUT_LIST(potluck_system_peers(system, out)); break;
  case f_system_holders: OUT_LIST(potluck_system_holders(system, any_name(), out)); break;
  case f_system_mingle: OUT_LIST(potluck_system_mingle(system, any_name(), any(9), any_timeout(), out)); break;
  case f_system_dead_letters: OUT_LIST(potluck_system_dead_letters(system, out)); break;
  case f_system_snapshot: OUT_RESOURCE(potluck_system_snapshot(system, out)); break;
  case f_system_events: OUT(potluck_events_t, EVENTS, potluck_system_events(system, any_capacity(), out)); break;
  case f_system_wait_for: status = potluck_system_wait_for(system, any_peer(), any_timeout()); break;
  case f_events_next: FILLED(event, potluck_events_next(events, any_timeout(), info)); break;
  case f_events_close: status = potluck_events_close(events); break;
  case f_peer_spawn: status = spawn(); break;
  case f_peer_close: status = potluck_peer_close(peer, any_timeout()); break;
  case f_peer_share: status = potluck_peer_share(peer, any_name(), bytes, len, out_version); break;
  case f_peer_share_if:
    status = potluck_peer_share_if(peer, any_name(), bytes, len, once_in(3) ? (potluck_resource_t){0} : resource, out_version);
    break;
  case f_peer_share_owned: status = share_owned(); break;
  case f_peer_unshare: status = potluck_peer_unshare(peer, any_name()); break;
  case f_peer_get: OUT_RESOURCE(potluck_peer_get(peer, any_name(), out)); break;
  case f_peer_resources: OUT_LIST(potluck_peer_resources(peer, out)); break;
  case f_peer_request: OUT_RESOURCE(potluck_peer_request(peer, any_peer(), any_name(), any_timeout(), out)); break;
  case f_peer_request_newer:
    OUT_RESOURCE(potluck_peer_request_newer(peer, any_peer(), any_name(), resource, any_timeout(), out));
    break;
  case f_peer_fetch: OUT_RESOURCE(potluck_peer_fetch(peer, any_name(), any_timeout(), out)); break;
  case f_peer_offer: status = potluck_peer_offer(peer, any_peer(), any_name(), any_timeout()); break;
  case f_peer_exchange: OUT_RESOURCE(potluck_peer_exchange(peer, any_peer(), any_name(), any_timeout(), out)); break;
  case f_peer_tell: status = potluck_peer_tell(peer, any_peer(), any_kind(), bytes, len, any_timeout()); break;
  case f_peer_ask:
    OUT_RESOURCE(potluck_peer_ask(peer, any_peer(), any_kind(), bytes, len, once_in(10) ? 1 : any_timeout(), out));
    break;
  case f_peer_receive: OUT(potluck_message_t, MESSAGE, potluck_peer_receive(peer, any_timeout(), out)); break;
  case f_peer_start: status = start(); break;
  case f_pending_wait: OUT_RESOURCE(potluck_pending_wait(pending, any_timeout(), out)); break;
  case f_pending_release: status = potluck_pending_release(pending); break;
  case f_events_fd: OUT_FD(potluck_events_fd(events, out)); break;
  case f_peer_fd: OUT_FD(potluck_peer_fd(peer, out)); break;
  case f_pending_fd: OUT_FD(potluck_pending_fd(pending, out)); break;
  case f_resource_keep: OUT_RESOURCE(potluck_resource_keep(resource, out)); break;
  case f_resource_data:
    status = potluck_resource_data(resource, any(9) ? &data : NULL, any(9) ? &out_len : NULL);
    if (status >= 10 && data != NULL) fail(names[function], "out is not NULL after a failure", status);
    break;
  case f_resource_info: FILLED(resource, potluck_resource_info(resource, info)); break;
  case f_resource_release: status = potluck_resource_release(resource); break;
  case f_message_info: FILLED(message, potluck_message_info(message, info)); break;
  case f_message_reply: status = potluck_message_reply(message, bytes, len); break;
  case f_message_release: status = potluck_message_release(message); break;
  case f_list_items:
    status = potluck_list_items(list, any(9) ? &items : NULL, any(9) ? &out_len : NULL);
    if (status >= 10 && items != NULL) fail(names[function], "out is not NULL after a failure", status);
    break;
  default: status = potluck_list_release(list); break;
  }
  if (status >= 10 && out_version != NULL && function >= f_peer_share && function <= f_peer_share_if && version != 0)
    fail(names[function], "out_version is not 0 after a failure", status);
  return note(function, status);
}

static _Thread_local atomic_int *current;

static void random_call(void) {
#define F(name, weight) +weight
  uint64_t pick = any(FUNCTIONS(F));
#undef F
  unsigned at = 0;
  while (pick >= weights[at]) pick -= weights[at++];
  if (current != NULL) atomic_store_explicit(current, (int)at, memory_order_relaxed);
  call((int)at);
}

static void *guest(void *number) {
  uintptr_t own = (uintptr_t)number;
  state = seed + (uint64_t)own * UINT64_C(0x632be59bd9b4e019) + 1;
  current = &progress[own].function;
  for (uint64_t i = 0; i < calls_max && !atomic_load_explicit(&stops, memory_order_relaxed); i++) {
    random_call();
    atomic_store_explicit(&progress[own].calls, i + 1, memory_order_relaxed);
  }
  atomic_store(&progress[own].calls, UINT64_MAX);
  return NULL;
}

/* Waits until all guests are done, or their time is over; ends the program if one of them makes no call any more. */
static void watch(uintptr_t threads, uint64_t seconds) {
  uint64_t before[THREADS_MAX] = {0};
  unsigned still[THREADS_MAX] = {0};
  uintptr_t done = 0;
  const struct timespec tick = {0, 100 * 1000 * 1000};
  for (uint64_t ticks = 0; done < threads; ticks++) {
    nanosleep(&tick, NULL);
    if (seconds != 0 && ticks >= seconds * 10) atomic_store(&stops, 1);
    done = 0;
    for (uintptr_t i = 0; i < threads; i++) {
      uint64_t calls = atomic_load(&progress[i].calls);
      still[i] = calls == before[i] ? still[i] + 1 : 0;
      before[i] = calls;
      if (calls == UINT64_MAX) done++;
      else if (still[i] > 10 * HANG_S) fail(names[atomic_load(&progress[i].function)], "a thread hangs", (int64_t)i);
    }
  }
}

/* No id is left but that of this system. */
static void expect_no_ids(void) {
  static const char expected[] =
      "\"handles\":{\"systems\":1,\"peers\":0,\"events\":0,\"resources\":0,\"messages\":0,\"lists\":0,\"pending\":0}";
  potluck_system_t last;
  potluck_resource_t snapshot;
  const uint8_t *json;
  size_t json_len, at = 0;
  if (potluck_system_open("last", NULL, &last) != POTLUCK_OK || potluck_system_snapshot(last, &snapshot) != POTLUCK_OK ||
      potluck_resource_data(snapshot, &json, &json_len) != POTLUCK_OK)
    fail("the end", "a system cannot be opened", 0);
  while (at + sizeof expected - 1 <= json_len && memcmp(json + at, expected, sizeof expected - 1) != 0) at++;
  if (at + sizeof expected - 1 > json_len) {
    fprintf(stderr, "%.*s\n", (int)json_len, (const char *)json);
    fail("the end", "ids are left", 0);
  }
  potluck_resource_release(snapshot);
  if (potluck_system_shutdown(last, 10000, NULL) != POTLUCK_OK) fail("the end", "a system does not end", 0);
}

static void end_all(void) {
  atomic_store(&is_over, 1);
  for (unsigned i = 0; i < atomic_load(&systems_len); i++) {
    potluck_status_t status = potluck_system_shutdown((potluck_system_t){systems[i]}, 1000 * HANG_S, NULL);
    if (status != POTLUCK_OK) fail("potluck_system_shutdown", "a system does not end", status);
  }
  for (int kind = EVENTS; kind < KINDS; kind++)
    for (int i = 0; i < PLACES; i++)
      if (atomic_load(&pool[kind][i]) != 0) let_end(kind, atomic_load(&pool[kind][i]));
  if (dropped != spawned) fail("the end", "user data that was not dropped", (int64_t)(spawned - dropped));
  if (released != adopted) fail("the end", "buffers that were not released", (int64_t)(adopted - released));
  expect_no_ids();
}

static uint64_t number(const char *text) {
  char *end = NULL;
  uint64_t value = text == NULL || *text == '-' ? 0 : strtoull(text, &end, 10);
  if (end == NULL || end == text || *end != 0) {
    fprintf(stderr, "usage: calls [--calls N] [--seconds S] [--threads T] [--seed X]\n");
    exit(2);
  }
  return value;
}

int main(int argc, char **argv) {
  uint64_t calls = 1000000, seconds = 0, threads = 4, total = 0;
  pthread_t guests[THREADS_MAX];
  struct timespec now;
  timespec_get(&now, TIME_UTC);
  seed = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
  for (int at = 1; at < argc; at += 2) {
    if (strcmp(argv[at], "--calls") == 0) calls = number(argv[at + 1]);
    else if (strcmp(argv[at], "--seconds") == 0) seconds = number(argv[at + 1]);
    else if (strcmp(argv[at], "--threads") == 0) threads = number(argv[at + 1]);
    else if (strcmp(argv[at], "--seed") == 0) seed = number(argv[at + 1]);
    else number(NULL);
  }
  if (threads < 1 || threads > THREADS_MAX) number(NULL);
  memset(too_long, 'a', sizeof too_long - 1);
  calls_max = (calls + threads - 1) / threads;
  printf("calls: --seed %" PRIu64 " --threads %" PRIu64 "\n", seed, threads);
  fflush(stdout);
  for (uintptr_t i = 0; i < threads; i++)
    if (pthread_create(&guests[i], NULL, guest, (void *)i) != 0) fail("pthread_create", "no thread", 0);
  watch((uintptr_t)threads, seconds);
  for (uint64_t i = 0; i < threads; i++) pthread_join(guests[i], NULL);
  end_all();
  for (int function = 0; function < functions_len; function++) {
    printf("%s:", names[function]);
    for (int status = 0; status < STATUSES; status++) {
      uint64_t count = atomic_load(&given[function][status]);
      total += count;
      if (count != 0) printf(" %d*%" PRIu64, status, count);
    }
    putchar('\n');
  }
  printf("calls: %" PRIu64 " calls, %" PRIu64 " systems, %" PRIu64 " user data, %" PRIu64 " buffers, nothing left\n", total,
         (uint64_t)systems_len, (uint64_t)spawned, (uint64_t)adopted);
  return 0;
}
