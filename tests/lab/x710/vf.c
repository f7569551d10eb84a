/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A VF: a PCI function. Its registers are windows into the PF's.
 */
#include "device.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_sriov.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/bitops.h"

#define REGISTERS_BAR 0
#define MSIX_BAR 3
#define MSIX_BAR_SIZE 0x4000
#define MSIX_PBA_OFFSET 0x2000
#define MSIX_CAPABILITY 0x70
#define EXPRESS_CAPABILITY 0xa0
#define ARI_CAPABILITY 0x100
#define BAR_TYPE (PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH)
#define NOT_A_WINDOW UINT32_MAX
#define ITR_VECTORS 16

static bool in_array(hwaddr address, uint32_t first, unsigned count, unsigned *index)
{
    *index = (address - first) / 4;
    return address >= first && *index < count;
}

/* The PF's address of a VF's register. */
static uint32_t pf_address(unsigned vf, hwaddr address)
{
    unsigned i, first_vector = vf * (VF_VECTORS - 1);

    switch (address) {
    case VF_DYN_CTL01: return VFINT_DYN_CTL0(vf);
    case VF_ICR01: return VFINT_ICR0(vf);
    case VF_ICR0_ENA1: return VFINT_ICR0_ENA(vf);
    case VFGEN_RSTAT: return VFGEN_RSTAT1(vf);
    }
    if (in_array(address, VF_DYN_CTLN1, VF_VECTORS - 1, &i)) {
        return VFINT_DYN_CTLN(first_vector + i);
    }
    if (in_array(address, VF_ITRN1, 3 * ITR_VECTORS, &i) && i % ITR_VECTORS < VF_VECTORS - 1) {
        return VFINT_ITRN(i / ITR_VECTORS, first_vector + i % ITR_VECTORS);
    }
    if (in_array(address, VFQF_HENA, 2, &i)) {
        return VFQF_HENA1(i, vf);
    }
    if (in_array(address, VFQF_HKEY, 13, &i)) {
        return VFQF_HKEY1(i, vf);
    }
    if (in_array(address, VFQF_HLUT, 16, &i)) {
        return VFQF_HLUT1(i, vf);
    }
    return NOT_A_WINDOW;
}

/* The PF's address of the tail of a VF's queue. It is 0, which is no register, if the PF has mapped no such queue. */
static bool tail_address(X710State *s, unsigned vf, hwaddr address, uint32_t *tail)
{
    unsigned i;
    bool rx = in_array(address, VF_QRX_TAIL1, VF_MAX_QUEUES, &i);

    if (!rx && !in_array(address, VF_QTX_TAIL1, VF_MAX_QUEUES, &i)) {
        return false;
    }
    uint32_t queue = *x710_register(s, VPLAN_QTABLE(i, vf)) & VPLAN_QTABLE_QINDEX;
    bool mapped = (*x710_register(s, VPLAN_MAPENA(vf)) & 1) && queue < QUEUES;
    *tail = !mapped ? 0 : rx ? QRX_TAIL(queue) : QTX_TAIL(queue);
    return true;
}

static uint32_t *admin_register(Vf *vf, hwaddr address)
{
    switch (address) {
    case VF_ATQBAL1: return &vf->atq.base_low;
    case VF_ATQBAH1: return &vf->atq.base_high;
    case VF_ATQLEN1: return &vf->atq.len;
    case VF_ATQH1: return &vf->atq.head;
    case VF_ATQT1: return &vf->atq.tail;
    case VF_ARQBAL1: return &vf->arq.base_low;
    case VF_ARQBAH1: return &vf->arq.base_high;
    case VF_ARQLEN1: return &vf->arq.len;
    case VF_ARQH1: return &vf->arq.head;
    case VF_ARQT1: return &vf->arq.tail;
    default: return NULL;
    }
}

static void note_unknown(X710VfState *v, X710State *s, unsigned vf, hwaddr address, bool write)
{
    if (!test_and_set_bit(address / 4 * 2 + write, v->noted)) {
        x710_journal(s, "unknown register 0x%04" HWADDR_PRIx " of VF %u: %s", address, vf, write ? "written" : "read");
    }
}

static uint64_t mmio_read(void *opaque, hwaddr address, unsigned size)
{
    X710VfState *v = opaque;
    X710State *s = X710(pcie_sriov_get_pf(PCI_DEVICE(v)));
    unsigned vf = pcie_sriov_vf_number(PCI_DEVICE(v));
    uint32_t *admin = admin_register(&s->vfs[vf], address), target;

    if (admin) {
        return *admin;
    }
    if (tail_address(s, vf, address, &target)) {
        return target ? *x710_register(s, target) : 0;
    }
    target = pf_address(vf, address);
    if (target == NOT_A_WINDOW) {
        note_unknown(v, s, vf, address, false);
        return 0;
    }
    if (address == VF_ICR01) {
        return x710_read_cause(s, vf);
    }
    uint32_t value = *x710_register(s, target);
    if (address == VF_ICR0_ENA1) {
        /* Reading it disables the causes until the driver enables them again. */
        *x710_register(s, target) = 0;
    }
    return value;
}

static void mmio_write(void *opaque, hwaddr address, uint64_t value, unsigned size)
{
    X710VfState *v = opaque;
    X710State *s = X710(pcie_sriov_get_pf(PCI_DEVICE(v)));
    unsigned vf = pcie_sriov_vf_number(PCI_DEVICE(v));
    uint32_t *admin = admin_register(&s->vfs[vf], address), target;

    if (admin) {
        *admin = value;
        if (address == VF_ATQT1) {
            x710_forward_messages(s, vf);
        }
    } else if (tail_address(s, vf, address, &target)) {
        /* A driver may write a tail before it notices that its VF was reset. */
        if (target) {
            x710_write(s, target, value);
        }
    } else {
        target = pf_address(vf, address);
        if (target == NOT_A_WINDOW) {
            note_unknown(v, s, vf, address, true);
        } else if (address != VFGEN_RSTAT && address != VF_ICR01) {
            x710_write(s, target, value);
        }
    }
}

const MemoryRegionOps x710_vf_register_ops = {
    .read = mmio_read,
    .write = mmio_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .impl = { .min_access_size = 4, .max_access_size = 4 },
};

static void write_config(PCIDevice *pci, uint32_t address, uint32_t value, int length)
{
    pci_default_write_config(pci, address, value, length);
    pcie_cap_flr_write_config(pci, address, value, length);
}

static void realize(PCIDevice *pci, Error **errp)
{
    X710VfState *v = X710_VF(pci);

    pci->config_write = write_config;
    /* QEMU maps a VF's BARs only while this bit is set. It must survive a reset, because only the PF's bit counts. */
    pci_set_word(pci->config + PCI_COMMAND, PCI_COMMAND_MEMORY);
    pci_word_test_and_clear_mask(pci->wmask + PCI_COMMAND, PCI_COMMAND_MEMORY);
    memory_region_init_io(&v->registers_bar, OBJECT(v), &x710_vf_register_ops, v, "x710vf-registers", VF_BAR_SIZE);
    pci_register_bar(pci, REGISTERS_BAR, BAR_TYPE, &v->registers_bar);
    memory_region_init(&v->msix_bar, OBJECT(v), "x710vf-msix", MSIX_BAR_SIZE);
    pci_register_bar(pci, MSIX_BAR, BAR_TYPE, &v->msix_bar);
    if (msix_init(pci, VF_VECTORS, &v->msix_bar, MSIX_BAR, 0, &v->msix_bar, MSIX_BAR, MSIX_PBA_OFFSET, MSIX_CAPABILITY,
                  errp) < 0) {
        return;
    }
    for (unsigned vector = 0; vector < VF_VECTORS; vector++) {
        msix_vector_use(pci, vector);
    }
    if (pcie_endpoint_cap_init(pci, EXPRESS_CAPABILITY) < 0) {
        error_setg(errp, "x710vf: no room for the PCI Express capability");
        return;
    }
    pcie_cap_fill_link_ep_usp(pci, QEMU_PCI_EXP_LNK_X8, QEMU_PCI_EXP_LNK_8GT);
    pcie_cap_flr_init(pci);
    pcie_ari_init(pci, ARI_CAPABILITY);
}

static void unrealize(PCIDevice *pci)
{
    X710VfState *v = X710_VF(pci);

    pcie_cap_exit(pci);
    msix_unuse_all_vectors(pci);
    msix_uninit(pci, &v->msix_bar, &v->msix_bar);
}

static void reset_hold(Object *object, ResetType type)
{
    PCIDevice *pci = PCI_DEVICE(object);
    PCIDevice *pf = pcie_sriov_get_pf(pci);

    if (pf) {
        x710_vf_function_reset(X710(pf), pcie_sriov_vf_number(pci));
    }
}

static void init_class(ObjectClass *class, void *data)
{
    DeviceClass *device = DEVICE_CLASS(class);
    PCIDeviceClass *pci = PCI_DEVICE_CLASS(class);

    pci->realize = realize;
    pci->exit = unrealize;
    pci->vendor_id = PCI_VENDOR_ID_INTEL;
    pci->device_id = 0x154c;
    pci->revision = 2;
    pci->class_id = PCI_CLASS_NETWORK_ETHERNET;
    RESETTABLE_CLASS(class)->phases.hold = reset_hold;
    device->desc = "VF of an Intel X710";
    device->user_creatable = false;
    device->vmsd = &x710_vf_vmstate;
    set_bit(DEVICE_CATEGORY_NETWORK, device->categories);
}

const TypeInfo x710_vf_type = {
    .name = TYPE_X710_VF,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(X710VfState),
    .class_init = init_class,
    .interfaces = (InterfaceInfo[]) { { INTERFACE_PCIE_DEVICE }, { } },
};
