/* Ids go from thread to thread: each is read, and released, by whoever comes first, beside others that do the same with it. One release of each
 * id succeeds, what was read is what was shared, and in the end no id is left. */
#include "harness.h"

#include <pthread.h>

#define THREADS 4
#define PLACES 8
/* Whoever compiles may give another number. */
#ifndef ROUNDS
#define ROUNDS 5000
#endif

static potluck_system_t kitchen;
static potluck_peer_t ada;
/* What lies here is anybody's, and may have been released. */
static ATOMIC(uint64_t) table[PLACES];
static ATOMIC(unsigned) gotten, released;

static int reads_soup(potluck_resource_t resource) {
  potluck_resource_info_t info = {.struct_size = sizeof info};
  const potluck_status_t status = potluck_resource_info(resource, &info);
  if (status == POTLUCK_E_INVALID_HANDLE) return 0;
  /* The bytes are ada's own, who holds them to the end; names are valid until the release, which may be over. */
  CHECK(status == POTLUCK_OK && info.version == 1 && info.data_len == 6 && memcmp(info.data, "tomato", 6) == 0);
  return 1;
}

static void *guest(void *argument) {
  const char *name = (const char *)argument;
  potluck_peer_t own;
  unsigned random = (unsigned)(uintptr_t)name;
  OK(potluck_peer_spawn(kitchen, name, NULL, &own));
  for (int i = 0; i < ROUNDS; i++) {
    potluck_resource_t soup, other;
    OK(potluck_peer_request(own, "ada", "soup", TIMEOUT_MS, &soup));
    atomic_fetch_add(&gotten, 1);
    CHECK(soup.id != 0);
    random = random * 1103515245u + 12345u;
    other.id = atomic_load(&table[random >> 16 & (PLACES - 1)]);
    atomic_store(&table[random >> 20 & (PLACES - 1)], soup.id);
    if (other.id != 0) {
      reads_soup(other);
      if (potluck_resource_release(other) == POTLUCK_OK) atomic_fetch_add(&released, 1);
      CHECK(!reads_soup(other));
      EXPECT(POTLUCK_E_INVALID_HANDLE, potluck_resource_release(other));
    }
    if (i % 2) {
      reads_soup(soup);
      if (potluck_resource_release(soup) == POTLUCK_OK) atomic_fetch_add(&released, 1);
    }
    /* Another peer's id, beside those that use it: a name may be asked for by all. */
    OK(potluck_peer_get(ada, "soup", &soup));
    CHECK(reads_soup(soup));
    OK(potluck_resource_release(soup));
  }
  OK(potluck_peer_close(own, TIMEOUT_MS));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_request(own, "ada", "soup", TIMEOUT_MS, NULL));
  return NULL;
}

/* How many resources are live, by the snapshot, which is one itself. */
static unsigned long live(void) {
  potluck_resource_t snapshot;
  const uint8_t *json;
  size_t json_len;
  static const char key[] = "\"resources\":";
  unsigned long count = 0;
  OK(potluck_system_snapshot(kitchen, &snapshot));
  OK(potluck_resource_data(snapshot, &json, &json_len));
  char *text = (char *)malloc(json_len + 1);
  CHECK(text != NULL);
  memcpy(text, json, json_len);
  text[json_len] = 0;
  const char *handles = strstr(text, "\"handles\"");
  CHECK(handles != NULL);
  const char *found = strstr(handles, key);
  CHECK(found != NULL);
  count = strtoul(found + sizeof key - 1, NULL, 10);
  free(text);
  OK(potluck_resource_release(snapshot));
  return count;
}

int main(void) {
  static char names[THREADS][8] = {"guest0", "guest1", "guest2", "guest3"};
  pthread_t guests[THREADS];
  begin();
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_share(ada, "soup", "tomato", 6, NULL));
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&guests[i], NULL, guest, names[i]) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(guests[i], NULL) == 0);
  CHECK(gotten == THREADS * ROUNDS && released <= gotten);
  CHECK(live() == gotten - released);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  return end("int_ids");
}
