/* A host that loads a plugin (its argument), lets it join in, and unloads it when its peer is closed: the plugin's code is gone, what it
 * shared is not, and its name is free for the next one. */
#include <dlfcn.h>

#include "harness.h"

typedef potluck_status_t (*join_fn)(potluck_system_t kitchen, char *user_data);
typedef potluck_status_t (*leave_fn)(void);

int main(int argc, char **argv) {
  potluck_system_t kitchen;
  potluck_peer_t guest;
  potluck_resource_t dish, answer;
  begin();
  CHECK(argc == 2);
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "guest", NULL, &guest));
  for (int round = 0; round < 5; round++) {
    char said[] = "soup";
    void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    CHECK(plugin != NULL);
    OK(((join_fn)(uintptr_t)dlsym(plugin, "plugin_join"))(kitchen, said));
    OK(potluck_peer_request(guest, "plugin", "dish", TIMEOUT_MS, &dish));
    OK(potluck_peer_ask(guest, "plugin", "what is there", NULL, 0, TIMEOUT_MS, &answer));
    CHECK(holds(answer, "soup"));
    OK(((leave_fn)(uintptr_t)dlsym(plugin, "plugin_leave"))());
    CHECK(strcmp(said, "left") == 0);
    CHECK(dlclose(plugin) == 0);
    CHECK(dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) == NULL);

    CHECK(holds(dish, "from the plugin") && holds(answer, "soup"));
    EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_peer_tell(guest, "plugin", "hello", NULL, 0, TIMEOUT_MS));
    OK(potluck_resource_release(answer));
    OK(potluck_resource_release(dish));
  }
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  return end("plugin_host");
}
