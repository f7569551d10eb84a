/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PF: a PCI function with SR-IOV, and the port to the wire.
 */
#include "device.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_sriov.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "net/eth.h"
#include "qapi/error.h"

#define DEVICE_ID_PF 0x1572
#define DEVICE_ID_VF 0x154c
#define REVISION 2
#define SUBSYSTEM_ID 0x0007
#define REGISTERS_BAR 0
#define MSIX_BAR 3
#define MSIX_BAR_SIZE 0x8000
#define MSIX_PBA_OFFSET 0x1000
#define MSIX_CAPABILITY 0x70
#define EXPRESS_CAPABILITY 0xa0
#define ARI_CAPABILITY 0x100
#define SERIAL_CAPABILITY 0x140
#define SRIOV_CAPABILITY 0x160
#define VF_OFFSET 16
#define VF_STRIDE 1
#define BAR_TYPE (PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH)

/* The PCI device of a function, or NULL if it is a VF that is not enabled. */
PCIDevice *x710_function(X710State *s, int function)
{
    return function == PF ? PCI_DEVICE(s) : pcie_sriov_get_vf_at_index(PCI_DEVICE(s), function);
}

static ssize_t receive_from_wire(NetClientState *client, const uint8_t *data, size_t length)
{
    X710State *s = qemu_get_nic_opaque(client);
    uint8_t padded[MIN_FRAME] = { 0 };

    if (!x710_link_up(s) || length < ETH_HLEN || length > MAX_FRAME) {
        return length;
    }
    if (length < sizeof(padded)) {
        memcpy(padded, data, length);
        x710_count_on_port(s, false, padded, sizeof(padded));
        x710_deliver(s, WIRE, padded, sizeof(padded));
    } else {
        x710_count_on_port(s, false, data, length);
        x710_deliver(s, WIRE, data, length);
    }
    return length;
}

static void wire_changed(NetClientState *client)
{
    x710_send_link_event(qemu_get_nic_opaque(client));
}

static NetClientInfo wire = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
    .receive = receive_from_wire,
    .link_status_changed = wire_changed,
};

static void write_config(PCIDevice *pci, uint32_t address, uint32_t value, int length)
{
    pci_default_write_config(pci, address, value, length);
    pcie_cap_flr_write_config(pci, address, value, length);
}

static bool init_capabilities(PCIDevice *pci, X710State *s, Error **errp)
{
    if (msix_init(pci, PF_VECTORS, &s->msix_bar, MSIX_BAR, 0, &s->msix_bar, MSIX_BAR, MSIX_PBA_OFFSET, MSIX_CAPABILITY,
                  errp) < 0) {
        return false;
    }
    for (unsigned vector = 0; vector < PF_VECTORS; vector++) {
        msix_vector_use(pci, vector);
    }
    if (pcie_endpoint_cap_init(pci, EXPRESS_CAPABILITY) < 0) {
        error_setg(errp, "x710: no room for the PCI Express capability");
        return false;
    }
    pcie_cap_fill_link_ep_usp(pci, QEMU_PCI_EXP_LNK_X8, QEMU_PCI_EXP_LNK_8GT);
    pcie_cap_flr_init(pci);
    pcie_ari_init(pci, ARI_CAPABILITY);
    const uint8_t *mac = s->conf.macaddr.a;
    pcie_dev_ser_num_init(pci, SERIAL_CAPABILITY, (uint64_t)mac[0] << 56 | (uint64_t)mac[1] << 48 |
                          (uint64_t)mac[2] << 40 | 0xffffull << 24 | mac[3] << 16 | mac[4] << 8 | mac[5]);
    return true;
}

static void realize(PCIDevice *pci, Error **errp)
{
    X710State *s = X710(pci);

    pci->config_write = write_config;
    s->registers = g_malloc0(PF_REGISTERS_SIZE);
    s->noted = g_new0(unsigned long, BITS_TO_LONGS(2 * PF_REGISTERS_SIZE / 4 + 2));
    /* Room for the tags that the device inserts. */
    s->frame = g_malloc0(MAX_TSO + 64);
    s->segment = g_malloc0(MAX_FRAME + 64);
    qemu_macaddr_default_if_unset(&s->conf.macaddr);

    memory_region_init_io(&s->registers_bar, OBJECT(s), &x710_register_ops, s, "x710-registers", PF_BAR_SIZE);
    pci_register_bar(pci, REGISTERS_BAR, BAR_TYPE, &s->registers_bar);
    memory_region_init(&s->msix_bar, OBJECT(s), "x710-msix", MSIX_BAR_SIZE);
    pci_register_bar(pci, MSIX_BAR, BAR_TYPE, &s->msix_bar);
    if (!init_capabilities(pci, s, errp)) {
        return;
    }
    s->nic = qemu_new_nic(&wire, &s->conf, TYPE_X710, DEVICE(s)->id, &DEVICE(s)->mem_reentrancy_guard, s);
    qemu_format_nic_info_str(qemu_get_queue(s->nic), s->conf.macaddr.a);
    if (!pcie_sriov_pf_init(pci, SRIOV_CAPABILITY, TYPE_X710_VF, DEVICE_ID_VF, VFS, VFS, VF_OFFSET, VF_STRIDE, errp)) {
        return;
    }
    pcie_sriov_pf_init_vf_bar(pci, REGISTERS_BAR, BAR_TYPE, VF_BAR_SIZE);
    pcie_sriov_pf_init_vf_bar(pci, MSIX_BAR, BAR_TYPE, 16 * 1024);
}

static void unrealize(PCIDevice *pci)
{
    X710State *s = X710(pci);

    pcie_sriov_pf_exit(pci);
    qemu_del_nic(s->nic);
    pcie_cap_exit(pci);
    msix_unuse_all_vectors(pci);
    msix_uninit(pci, &s->msix_bar, &s->msix_bar);
    g_free(s->registers);
    g_free(s->noted);
    g_free(s->frame);
    g_free(s->segment);
    g_free(s->saved);
    if (s->journal) {
        fclose(s->journal);
    }
}

static void reset_hold(Object *object, ResetType type)
{
    x710_reset(X710(object), RESET_POWER);
}

static const Property properties[] = {
    DEFINE_NIC_PROPERTIES(X710State, conf),
    DEFINE_PROP_STRING("journal", X710State, journal_path),
};

static void init_instance(Object *object)
{
    object_property_add_str(object, "vsi-table", x710_vsi_table, NULL);
}

static void init_class(ObjectClass *class, void *data)
{
    DeviceClass *device = DEVICE_CLASS(class);
    PCIDeviceClass *pci = PCI_DEVICE_CLASS(class);

    pci->realize = realize;
    pci->exit = unrealize;
    pci->vendor_id = PCI_VENDOR_ID_INTEL;
    pci->device_id = DEVICE_ID_PF;
    pci->subsystem_vendor_id = PCI_VENDOR_ID_INTEL;
    pci->subsystem_id = SUBSYSTEM_ID;
    pci->revision = REVISION;
    pci->class_id = PCI_CLASS_NETWORK_ETHERNET;
    RESETTABLE_CLASS(class)->phases.hold = reset_hold;
    device->desc = "Intel X710 for the lab of runvf";
    device->vmsd = &x710_vmstate;
    device_class_set_props(device, properties);
    set_bit(DEVICE_CATEGORY_NETWORK, device->categories);
}

const TypeInfo x710_type = {
    .name = TYPE_X710,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(X710State),
    .instance_init = init_instance,
    .class_init = init_class,
    .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
};
