/* Buffers that the library adopts: read where they lie, and released once, by whoever lets go last; resources that are kept. */
#include "harness.h"

#include <pthread.h>

static potluck_system_t kitchen;
static potluck_peer_t ada, bob;

/* What a release function was called with. */
typedef struct lent {
  ATOMIC(unsigned) releases;
  const uint8_t *data;
  size_t data_len;
  pthread_t thread;
  /* Shared anew by the release, as "again": that is a call like any other. */
  int is_again;
  potluck_status_t status;
} lent;

static void let_go(const uint8_t *data, size_t data_len, void *user_data) {
  lent *buffer = (lent *)user_data;
  buffer->data = data;
  buffer->data_len = data_len;
  buffer->thread = pthread_self();
  if (buffer->is_again) {
    buffer->is_again = 0;
    buffer->status = potluck_peer_share_owned(ada, "again", data, data_len, let_go, buffer, NULL);
    /* The last error of the interrupted call stays. */
    EXPECT(POTLUCK_E_NO_SUCH_RESOURCE, potluck_peer_get(ada, "nothing", NULL));
  }
  atomic_fetch_add(&buffer->releases, 1);
}

/* By several threads at once, for one and the same user data. */
static void is_counted(const uint8_t *data, size_t data_len, void *user_data) {
  (void)data;
  (void)data_len;
  atomic_fetch_add(&((lent *)user_data)->releases, 1);
}

static int lies_at(potluck_resource_t resource, const void *place) {
  const uint8_t *data;
  OK(potluck_resource_data(resource, &data, NULL));
  return data == (const uint8_t *)place;
}

static void is_read_where_it_lies(void) {
  static const char soup[] = "tomato";
  lent buffer = {0};
  potluck_resource_t got, kept, mine;
  uint64_t version = 7;
  OK(potluck_peer_share_owned(ada, "soup", soup, 6, let_go, &buffer, &version));
  CHECK(version == 1);
  OK(potluck_peer_request(bob, "ada", "soup", 0, &got));
  CHECK(holds(got, "tomato") && lies_at(got, soup));
  OK(potluck_peer_unshare(ada, "soup"));
  OK(potluck_resource_keep(got, &kept));
  CHECK(kept.id != got.id && lies_at(kept, soup));
  OK(potluck_resource_keep(kept, NULL));
  OK(potluck_resource_release(got));
  EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_keep(got, &mine));
  CHECK(mine.id == 0);
  OK(potluck_peer_share_owned(bob, "soup", "pea", 3, NULL, NULL, &version));
  CHECK(version == 2 && buffer.releases == 0);
  OK(potluck_resource_release(kept));
  CHECK(buffer.releases == 1 && buffer.data == (const uint8_t *)soup && buffer.data_len == 6);
  CHECK(pthread_equal(buffer.thread, pthread_self()));
  OK(potluck_peer_get(bob, "soup", &got));
  CHECK(holds(got, "pea"));
  OK(potluck_resource_release(got));
}

/* By the share that replaces it, and at the end of its peer. */
static void is_released_by_whoever_lets_go_last(void) {
  lent first = {0}, second = {0};
  potluck_peer_t eve;
  OK(potluck_peer_spawn(kitchen, "eve", NULL, &eve));
  OK(potluck_peer_share_owned(eve, "pie", "apple", 5, let_go, &first, NULL));
  OK(potluck_peer_share_owned(eve, "pie", NULL, 0, let_go, &second, NULL));
  CHECK(first.releases == 1 && second.releases == 0);
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  CHECK(second.releases == 1 && second.data == NULL && second.data_len == 0);
}

static void is_released_after_a_failure(void) {
  lent buffer = {0};
  potluck_system_options_t options = {.struct_size = sizeof options, .resource_bytes_max = 4};
  potluck_system_t pantry;
  potluck_peer_t eve;
  uint64_t version = 7;
  unsigned releases = 0;
#define FAILS(wanted, call)                                                                          \
  do {                                                                                               \
    EXPECT(wanted, call);                                                                            \
    CHECK(buffer.releases == ++releases && version == 0);                                            \
    version = 7;                                                                                     \
  } while (0)
  FAILS(POTLUCK_E_INVALID_HANDLE, potluck_peer_share_owned((potluck_peer_t){0}, "x", "y", 1, let_go, &buffer, &version));
  FAILS(POTLUCK_E_INVALID_HANDLE, potluck_peer_share_owned((potluck_peer_t){kitchen.id}, "x", "y", 1, let_go, &buffer, &version));
  FAILS(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_owned(ada, NULL, "y", 1, let_go, &buffer, &version));
  FAILS(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_owned(ada, "x", NULL, 1, let_go, &buffer, &version));
  CHECK(buffer.data == NULL && buffer.data_len == 1);
  FAILS(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_owned(ada, "x", "y", SIZE_MAX, let_go, &buffer, &version));
  FAILS(POTLUCK_E_INVALID_NAME, potluck_peer_share_owned(ada, "x*", "y", 1, let_go, &buffer, &version));
  FAILS(POTLUCK_E_INVALID_NAME, potluck_peer_share_owned(ada, "\xff", "y", 1, let_go, &buffer, &version));
  OK(potluck_system_open("pantry", &options, &pantry));
  OK(potluck_peer_spawn(pantry, "eve", NULL, &eve));
  FAILS(POTLUCK_E_TOO_LARGE, potluck_peer_share_owned(eve, "x", "large", 5, let_go, &buffer, &version));
  OK(potluck_system_shutdown(pantry, TIMEOUT_MS, NULL));
  FAILS(POTLUCK_E_CLOSED, potluck_peer_share_owned(eve, "x", "y", 1, let_go, &buffer, &version));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_owned(ada, "x", NULL, 1, NULL, NULL, &version));
}

/* A release may call whatever it likes, also share the same buffer anew. */
static void may_be_shared_anew_by_its_release(void) {
  lent buffer = {0};
  potluck_resource_t got;
  buffer.is_again = 1;
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_peer_share_owned(ada, NULL, "sour", 4, let_go, &buffer, NULL));
  CHECK(strstr(potluck_last_error(), "name is NULL") != NULL);
  CHECK(buffer.status == POTLUCK_OK && buffer.releases == 1);
  OK(potluck_peer_get(ada, "again", &got));
  CHECK(holds(got, "sour"));
  OK(potluck_peer_unshare(ada, "again"));
  buffer.is_again = 1;
  OK(potluck_resource_release(got));
  CHECK(buffer.status == POTLUCK_OK && buffer.releases == 2);
  OK(potluck_peer_unshare(ada, "again"));
  CHECK(buffer.releases == 3);
}

typedef struct pantry_book {
  potluck_resource_t offered, received;
} pantry_book;

static potluck_status_t on_offer(potluck_peer_t peer, const char *from, potluck_resource_t offered, void *user_data) {
  (void)peer, (void)from;
  OK(potluck_resource_keep(offered, &((pantry_book *)user_data)->offered));
  return POTLUCK_OK;
}

static void on_received(potluck_peer_t peer, const char *from, potluck_resource_t received, void *user_data) {
  (void)peer, (void)from;
  OK(potluck_resource_keep(received, &((pantry_book *)user_data)->received));
}

static void a_callback_keeps_what_it_was_lent(void) {
  static const char jam[] = "plum";
  lent buffer = {0};
  pantry_book book = {{0}, {0}};
  potluck_peer_options_t options = {.struct_size = sizeof options};
  potluck_peer_t eve;
  options.on_offer = on_offer;
  options.on_received = on_received;
  options.user_data = &book;
  OK(potluck_peer_spawn(kitchen, "eve", &options, &eve));
  OK(potluck_peer_share_owned(ada, "jam", jam, 4, let_go, &buffer, NULL));
  OK(potluck_peer_offer(ada, "eve", "jam", TIMEOUT_MS));
  OK(potluck_peer_unshare(ada, "jam"));
  OK(potluck_peer_close(eve, TIMEOUT_MS));
  CHECK(lies_at(book.offered, jam) && lies_at(book.received, jam));
  OK(potluck_resource_release(book.offered));
  CHECK(buffer.releases == 0);
  OK(potluck_resource_release(book.received));
  CHECK(buffer.releases == 1);
}

#define THREADS 4
/* Whoever compiles may give another number. */
#ifndef ROUNDS
#define ROUNDS 2000
#endif

static lent many[THREADS];

/* Each shares over the others' and reads theirs: whoever comes last lets go. */
static void *shares_beside_others(void *argument) {
  lent *buffer = (lent *)argument;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    potluck_resource_t got;
    OK(potluck_peer_share_owned(ada, "shared", "stew", 4, is_counted, buffer, NULL));
    OK(potluck_peer_fetch(bob, "shared", TIMEOUT_MS, &got));
    CHECK(holds(got, "stew"));
    OK(potluck_resource_release(got));
  }
  return NULL;
}

static void by_several_threads(void) {
  pthread_t threads[THREADS];
  unsigned releases = 0;
  int i;
  for (i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, shares_beside_others, &many[i]) == 0);
  for (i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  OK(potluck_peer_unshare(ada, "shared"));
  OK(potluck_peer_unshare(bob, "shared"));
  for (i = 0; i < THREADS; i++) releases += many[i].releases;
  CHECK(releases == THREADS * ROUNDS);
}

int main(void) {
  lent last = {0};
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  is_read_where_it_lies();
  is_released_by_whoever_lets_go_last();
  is_released_after_a_failure();
  may_be_shared_anew_by_its_release();
  a_callback_keeps_what_it_was_lent();
  by_several_threads();
  OK(potluck_peer_share_owned(ada, "last", "crumb", 5, let_go, &last, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  CHECK(last.releases == 1);
  return end("api_owned");
}
