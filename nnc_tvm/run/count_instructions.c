/* A plugin of qemu-user: counts the guest's instructions and prints "instructions N" when the program ends.
 *
 * qemu calls `translated` for every block of guest code it translates; from then on `executed` runs whenever the block does, with
 * the block's length. A call of the guest's function nnc_mark prints "mark N", the instructions before it.
 * The declarations are those of qemu's qemu-plugin.h, which distributions do not install.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
enum { NO_REGISTERS = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*callback)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *block, void (*callback)(unsigned int, void *), int flags, void *data);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*callback)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *block);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *block, size_t index);
const char *qemu_plugin_insn_symbol(const struct qemu_plugin_insn *instruction);
void qemu_plugin_outs(const char *text);

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_API;

static uint64_t count;

static void print(const char *what)
{
    char line[48];
    snprintf(line, sizeof line, "%s %llu\n", what, (unsigned long long)count);
    qemu_plugin_outs(line);
}

static void executed(unsigned int cpu, void *length)
{
    (void)cpu;
    count += (uintptr_t)length;
}

static void marked(unsigned int cpu, void *length)
{
    print("mark");
    executed(cpu, length);
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    const char *symbol = qemu_plugin_insn_symbol(qemu_plugin_tb_get_insn(block, 0));
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, symbol != NULL && strcmp(symbol, "nnc_mark") == 0 ? marked : executed, NO_REGISTERS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void finished(plugin_id id, void *data)
{
    (void)id;
    (void)data;
    print("instructions");
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    (void)argc;
    (void)argv;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, finished, NULL);
    return 0;
}
