/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shared object that QEMU loads: as a TCG plugin, because QEMU loads plugins before it makes devices.
 *
 * The device embeds QEMU's own structures, so it fits only the version of QEMU that its headers come from.
 */
#include "device.h"
#include "qapi/qapi-types-control.h"
#include "qapi/qapi-commands-control.h"
#include "qemu/qemu-plugin.h"

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

extern const TypeInfo x710_type, x710_vf_type;

static bool version_fits(void)
{
    g_autoptr(VersionInfo) version = qmp_query_version(NULL);
    g_autofree char *running = g_strdup_printf("%" PRId64 ".%" PRId64 ".%" PRId64 "%s", version->qemu->major,
                                               version->qemu->minor, version->qemu->micro, version->package);

    if (strstr(running, BUILT_FOR)) {
        return true;
    }
    fprintf(stderr, "x710: built for QEMU %s, and this is QEMU %s; build the device again\n", BUILT_FOR, running);
    return false;
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    if (!version_fits()) {
        return -1;
    }
    type_register_static(&x710_vf_type);
    type_register_static(&x710_type);
    return 0;
}
