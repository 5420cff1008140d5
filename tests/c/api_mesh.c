/* Joining a mesh, as far as one process can show it: what of the options cannot be meant is said, and what can be opens a system. In a
 * library without a mesh all of it is UNSUPPORTED. tests/mesh_examples.rs runs it with one that has a mesh, and joins processes. */
#include <stdbool.h>

#include "harness.h"

static bool has_mesh;

static potluck_mesh_options_t mesh;
static potluck_system_options_t options;

static void set_up(void) {
  memset(&mesh, 0, sizeof mesh);
  mesh.struct_size = sizeof mesh;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.mesh = &mesh;
}

static potluck_status_t opened(void) {
  potluck_system_t kitchen;
  potluck_status_t status = potluck_system_open("kitchen", &options, &kitchen);
  if (status == POTLUCK_OK) OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
  else CHECK(kitchen.id == 0);
  return status;
}

/* These options are as they should be. */
#define GOOD(set)                                                                                    \
  do {                                                                                               \
    set_up();                                                                                        \
    set;                                                                                             \
    if (has_mesh) OK(opened());                                                                      \
    else EXPECT_TEXT(POTLUCK_E_UNSUPPORTED, "mesh", opened());                                       \
  } while (0)

#define WRONG(status, words, set)                                                                    \
  do {                                                                                               \
    set_up();                                                                                        \
    set;                                                                                             \
    if (has_mesh) EXPECT_TEXT(status, words, opened());                                              \
    else EXPECT_TEXT(POTLUCK_E_UNSUPPORTED, "mesh", opened());                                       \
  } while (0)
#define INVALID(words, set) WRONG(POTLUCK_E_INVALID_ARGUMENT, words, set)

static void good_options(void) {
  const char *const nodes[] = {"127.0.0.1:0", "[::1]:0"}, *const everywhere[] = {"0.0.0.0:0"};
  GOOD((void)0);
  GOOD((mesh.node = "laptop", mesh.listen = nodes, mesh.listen_len = 1));
  GOOD((mesh.listen = nodes, mesh.connect = nodes, mesh.allow = nodes));
  GOOD((mesh.lease_ms = 100, mesh.no_gossip = 1));
  GOOD((mesh.listen = everywhere, mesh.listen_len = 1, mesh.listen_everywhere_without_tls = 1));
  /* A caller of an older version knows less of it. */
  GOOD((mesh.struct_size = offsetof(potluck_mesh_options_t, connect), mesh.connect_len = 1, mesh.lease_ms = -7));
}

static void lists(void) {
  const char *const addresses[] = {"127.0.0.1:0", NULL, "\xff\xfe", "here", "0.0.0.0:7447"}, *const nodes[] = {"a@b", "ada"};
  INVALID("listen is NULL and listen_len is 1", mesh.listen_len = 1);
  INVALID("connect is NULL and connect_len is 2", mesh.connect_len = 2);
  INVALID("allow is NULL and allow_len is 3", mesh.allow_len = 3);
  INVALID("listen_len", (mesh.listen = addresses, mesh.listen_len = SIZE_MAX));
  INVALID("connect_len", (mesh.connect = addresses, mesh.connect_len = SIZE_MAX / 8));
  INVALID("listen[1] is NULL", (mesh.listen = addresses, mesh.listen_len = 2));
  INVALID("connect[0] is NULL", (mesh.connect = addresses + 1, mesh.connect_len = 1));
  INVALID("connect[0] is not UTF-8", (mesh.connect = addresses + 2, mesh.connect_len = 1));
  INVALID("\"here\" is not host:port", (mesh.connect = addresses + 3, mesh.connect_len = 1));
  INVALID("listen_everywhere_without_tls", (mesh.listen = addresses + 4, mesh.listen_len = 1));
  INVALID("tls", (mesh.allow = nodes + 1, mesh.allow_len = 1));
  INVALID("allow[0] is NULL", (mesh.allow = addresses + 1, mesh.allow_len = 1));
  WRONG(POTLUCK_E_INVALID_NAME, "\"a@b\"", (mesh.allow = nodes, mesh.allow_len = 1));
}

static void the_rest(void) {
  INVALID("struct_size of mesh", mesh.struct_size = 0);
  INVALID("struct_size of mesh", mesh.struct_size = sizeof mesh - 1);
  INVALID("reserved", mesh.reserved = 1);
  INVALID("lease_ms", mesh.lease_ms = -1);
  INVALID("lease_ms", mesh.lease_ms = INT64_MIN);
  INVALID("lease", mesh.lease_ms = 99);
  WRONG(POTLUCK_E_INVALID_NAME, "UTF-8", mesh.node = "\xff");
  WRONG(POTLUCK_E_INVALID_NAME, "empty", mesh.node = "");
  WRONG(POTLUCK_E_INVALID_NAME, "'/'", mesh.node = "a/b");
  INVALID("tls_cert_file is NULL", mesh.tls_ca_file = "ca.pem");
  INVALID("tls_ca_file is NULL", mesh.tls_key_file = "key.pem");
  INVALID("tls_key_file is NULL", (mesh.tls_ca_file = "ca.pem", mesh.tls_cert_file = "cert.pem"));
  INVALID("tls_ca_file is not UTF-8", (mesh.tls_ca_file = "\xff", mesh.tls_cert_file = "c", mesh.tls_key_file = "k"));
}

/* What a newer header knows more of. */
static void larger(void) {
  struct {
    potluck_mesh_options_t mesh;
    uint64_t more;
  } newer;
  memset(&newer, 0, sizeof newer);
  newer.mesh.struct_size = sizeof newer;
  GOOD(options.mesh = &newer.mesh);
  newer.more = 1;
  WRONG(POTLUCK_E_UNSUPPORTED, "mesh", options.mesh = &newer.mesh);
}

/* Without a mesh nobody is elsewhere. */
static void alone(void) {
  potluck_system_t kitchen;
  potluck_peer_t ada;
  OK(potluck_system_open("kitchen", NULL, &kitchen));
  OK(potluck_peer_spawn(kitchen, "ada", NULL, &ada));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_system_wait_for(kitchen, "ada@laptop", TIMEOUT_MS));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_system_wait_for(kitchen, "@laptop", TIMEOUT_MS));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_peer_request(ada, "ada@laptop", "soup", TIMEOUT_MS, NULL));
  EXPECT(POTLUCK_E_NO_SUCH_PEER, potluck_peer_tell(ada, "ada@laptop", "hello", NULL, 0, TIMEOUT_MS));
  OK(potluck_system_shutdown(kitchen, TIMEOUT_MS, NULL));
}

int main(void) {
  begin();
  set_up();
  has_mesh = opened() == POTLUCK_OK;
  /* Whoever runs it with a library that must have one says so. */
  CHECK(has_mesh || getenv("POTLUCK_MESH_LIB_DIR") == NULL);
  good_options();
  lists();
  the_rest();
  larger();
  alone();
  return end("api_mesh");
}
