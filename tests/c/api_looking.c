/* Looking at a system from outside: its dead letters, whether a peer is there, what its threads do, how its end goes. */
#include <pthread.h>

#include "harness.h"

static const potluck_item_t *items_of(potluck_list_t list, size_t items_len) {
  const potluck_item_t *items;
  size_t len;
  OK(potluck_list_items(list, &items, &len));
  CHECK(len == items_len);
  return items;
}

static void dead_letters(void) {
  potluck_system_options_t options;
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_list_t list;
  const potluck_item_t *items, *first, *second;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.dead_letters_max = 2;
  OK(potluck_system_open("kitchen", &options, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_system_dead_letters(kitchen, &list));
  items_of(list, 0);
  OK(potluck_list_release(list));
  OK(potluck_peer_tell(bob, "ada", "first", "1", 1, 0));
  OK(potluck_peer_tell(bob, "ada", "second", "22", 2, 0));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_peer_ask(bob, "ada", "question", "333", 3, 1, NULL));
  OK(potluck_peer_close(ada, TIMEOUT_MS));
  OK(potluck_system_dead_letters(kitchen, &list));
  items = items_of(list, 2);
  /* The ask was given up first; it is the one that is kept no more. The two tells may be buried by two threads. */
  CHECK(items[0].version == 2 && items[1].version == 3);
  first = strcmp(items[0].name, "first") == 0 ? items : items + 1;
  second = first == items ? items + 1 : items;
  CHECK(strcmp(first->peer, "ada") == 0 && strcmp(first->from, "bob") == 0 && strcmp(first->name, "first") == 0);
  CHECK(first->size == 1 && first->status == POTLUCK_E_PEER_CLOSED && strstr(first->text, "ada") != NULL);
  CHECK(strcmp(second->name, "second") == 0 && second->size == 2);
  OK(potluck_list_release(list));
  OK(potluck_system_dead_letters(kitchen, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  list.id = 1;
  EXPECT(POTLUCK_E_CLOSED, potluck_system_dead_letters(kitchen, &list));
  CHECK(list.id == 0);
}

static void *spawn_ada(void *kitchen) {
  OK(potluck_peer_spawn(*(potluck_system_t *)kitchen, "ada", NULL, NULL));
  return NULL;
}

static void waits_for(void) {
  potluck_system_t kitchen;
  pthread_t guest;
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_system_wait_for(kitchen, "ada", 0));
  EXPECT(POTLUCK_E_TIMED_OUT, potluck_system_wait_for(kitchen, "ada", 1));
  EXPECT(POTLUCK_E_INVALID_NAME, potluck_system_wait_for(kitchen, "a/b", 0));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_system_wait_for(kitchen, "ada@laptop", TIMEOUT_MS));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_wait_for(kitchen, NULL, 0));
  EXPECT(POTLUCK_E_INVALID_ARGUMENT, potluck_system_wait_for(kitchen, "ada", -2));
  CHECK(pthread_create(&guest, NULL, spawn_ada, &kitchen) == 0);
  OK(potluck_system_wait_for(kitchen, "ada", TIMEOUT_MS));
  CHECK(pthread_join(guest, NULL) == 0);
  OK(potluck_system_wait_for(kitchen, "ada", 0));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  EXPECT(POTLUCK_E_CLOSED, potluck_system_wait_for(kitchen, "ada", TIMEOUT_MS));
}

static potluck_status_t look_around(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  potluck_resource_t json;
  (void)peer;
  OK(potluck_system_snapshot(*(potluck_system_t *)user_data, &json));
  {
    const uint8_t *data;
    size_t data_len;
    OK(potluck_resource_data(json, &data, &data_len));
    OK(potluck_message_reply(message, data, data_len));
  }
  return potluck_resource_release(json);
}

/* Whether the bytes of a resource contain these. */
static int says(potluck_resource_t resource, const char *words) {
  const uint8_t *data;
  size_t data_len, words_len = strlen(words), at;
  OK(potluck_resource_data(resource, &data, &data_len));
  for (at = 0; at + words_len <= data_len; at++)
    if (memcmp(data + at, words, words_len) == 0) return 1;
  fprintf(stderr, "%.*s\n", (int)data_len, (const char *)data);
  return 0;
}

static void snapshots(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_peer_options_t options;
  potluck_resource_t json, answer;
  potluck_resource_info_t info = {sizeof info, NULL, NULL, 0, NULL, 0};
  OK(potluck_system_open("a \"big\" kitchen", NULL, &kitchen));
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.on_message = look_around;
  options.user_data = &kitchen;
  OK(potluck_peer_spawn(kitchen, "ada", &options, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_share(bob, "soup", "leek", 4, NULL));
  OK(potluck_peer_tell(ada, "bob", "note", NULL, 0, 0));
  OK(potluck_system_snapshot(kitchen, &json));
  OK(potluck_resource_info(json, &info));
  CHECK(strcmp(info.name, "snapshot") == 0 && strcmp(info.origin, "a \"big\" kitchen") == 0 && info.version == 0);
  CHECK(says(json, "{\"system\":\"a \\\"big\\\" kitchen\",\"is_open\":true,\"peers\":[{\"peer\":\"ada\","));
  CHECK(says(json, "{\"peer\":\"bob\",\"stage\":\"open\",\"messages\":1,\"taken\":0,\"resources\":1,\"requested\":0,\"received\":0,\"doing\":\"idle\","));
  CHECK(says(json, "\"nodes\":[],\"handles\":{\"systems\":1,\"peers\":2,\"events\":0,\"resources\":0,\"messages\":0,\"lists\":0,\"pending\":0}}"));
  OK(potluck_peer_ask(bob, "ada", "look", NULL, 0, TIMEOUT_MS, &answer));
  CHECK(says(answer, "\"handler\":{\"name\":\"on_message\",\"from\":\"bob\",\"what\":\"look\",\"since_ms\":"));
  /* The message that the callback borrows, and the first snapshot. */
  CHECK(says(answer, "\"resources\":1,\"messages\":1,\"lists\":0,\"pending\":0}}"));
  OK(potluck_resource_release(answer));
  OK(potluck_resource_release(json));
  OK(potluck_system_snapshot(kitchen, NULL));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  EXPECT(POTLUCK_E_CLOSED, potluck_system_snapshot(kitchen, &json));
  CHECK(json.id == 0);
}

/* The callback says that it is there, waits until it is let go, and may then shut the system down. */
static int arrived[2], let_go[2];

static potluck_status_t stand(potluck_peer_t peer, potluck_message_t message, void *user_data) {
  char byte = 0;
  (void)peer, (void)message;
  CHECK(write(arrived[1], &byte, 1) == 1);
  CHECK(read(let_go[0], &byte, 1) == 1);
  if (user_data != NULL) EXPECT(POTLUCK_DEFERRED, potluck_system_shutdown(*(potluck_system_t *)user_data, TIMEOUT_MS, NULL));
  return POTLUCK_OK;
}

static void shutdowns(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada, bob;
  potluck_peer_options_t options;
  potluck_list_t report;
  const potluck_item_t *items;
  char byte = 0;
  CHECK(pipe(arrived) == 0 && pipe(let_go) == 0);
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.on_message = stand;
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", &options, &ada));
  OK(potluck_peer_spawn(kitchen, "bob", NULL, &bob));
  OK(potluck_peer_tell(bob, "ada", "stand", NULL, 0, 0));
  CHECK(read(arrived[0], &byte, 1) == 1);
  EXPECT(POTLUCK_STILL_RUNNING, potluck_system_shutdown(kitchen, 200, &report));
  items = items_of(report, 1);
  CHECK(strcmp(items[0].peer, "ada") == 0 && strcmp(items[0].text, "on_message \"stand\" from \"bob\"") == 0);
  CHECK(items[0].size >= 200 && items[0].size < TIMEOUT_MS && items[0].status == POTLUCK_OK);
  OK(potluck_list_release(report));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_tell(bob, "ada", "late", NULL, 0, 0));
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_spawn(kitchen, "eve", NULL, NULL));
  CHECK(write(let_go[1], &byte, 1) == 1);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, &report));
  items_of(report, 0);
  OK(potluck_list_release(report));

  /* From a callback: what is queued is handled, nothing comes in from outside, and it ends by itself. */
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  options.user_data = &kitchen;
  OK(potluck_peer_spawn(kitchen, "ada", &options, &ada));
  OK(potluck_peer_tell(ada, "ada", "stand", NULL, 0, 0));
  OK(potluck_peer_tell(ada, "ada", "stand", NULL, 0, 0));
  CHECK(read(arrived[0], &byte, 1) == 1);
  CHECK(write(let_go[1], &byte, 1) == 1);
  CHECK(read(arrived[0], &byte, 1) == 1);
  EXPECT(POTLUCK_E_CLOSED, potluck_peer_tell(ada, "ada", "stand", NULL, 0, 0));
  CHECK(write(let_go[1], &byte, 1) == 1);
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
}

int main(void) {
  begin();
  dead_letters();
  waits_for();
  snapshots();
  shutdowns();
  return end("api_looking");
}
