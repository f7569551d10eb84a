/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * State of the device, and the functions that its files offer to each other.
 */
#ifndef X710_DEVICE_H
#define X710_DEVICE_H

#include "qemu/osdep.h"
#include "hw/pci/pci_device.h"
#include "net/net.h"
#include "registers.h"

#define TYPE_X710 "x710"
OBJECT_DECLARE_SIMPLE_TYPE(X710State, X710)
#define TYPE_X710_VF "x710vf"
OBJECT_DECLARE_SIMPLE_TYPE(X710VfState, X710_VF)

#define VFS 32
#define PF_VECTORS 129
#define VF_VECTORS 5
#define QUEUES 512
#define VSIS 192
#define VEBS 16
#define FILTERS 1536
#define VLAN_PROMISCS 512
#define SEGMENTS 64
/* The largest frame of the wire, without FCS. */
#define MAX_FRAME 9728
#define MIN_FRAME 60
/* The largest frame that a driver may give to segmentation offload: 256 KiB and headers. */
#define MAX_TSO (256 * 1024 + 256)
/* The largest buffer of an admin queue command. */
#define MAX_AQ_BUFFER 4096

#define SEID_MAC 2
#define SEID_PF 16
#define SEID_FIRST_VEB 160
#define SEID_MAIN_VSI 390

/* A PCI function of the device: a VF's number, or the PF. */
#define PF (-1)

/* Sources of a frame that are not VSIs. */
#define WIRE (-1)

typedef struct AdminRing {
    uint32_t base_low, base_high, len, head, tail;
} AdminRing;

typedef struct Vf {
    AdminRing atq, arq;
    uint8_t pending[VF_VECTORS];
} Vf;

/* A virtual station interface: a port of the device's internal switch. */
typedef struct Vsi {
    uint8_t used;
    uint8_t type;
    uint8_t vf;
    uint16_t uplink;
    /* Bits of PROMISC_*; those of a VLAN are in VlanPromisc. */
    uint16_t promisc;
    uint8_t context[128];
} Vsi;

typedef struct Veb {
    uint8_t used;
    uint16_t uplink, downlink;
} Veb;

typedef struct Filter {
    uint16_t vsi;
    uint8_t mac[6];
    uint16_t vlan;
    uint8_t any_vlan;
} Filter;

typedef struct VlanPromisc {
    uint16_t vsi, vlan, promisc;
} VlanPromisc;

/* One end of a queue pair, with the values that it had in the host memory cache when it was enabled. */
typedef struct Queue {
    uint8_t enabled;
    int16_t function;
    uint16_t vsi;
    uint16_t head, len;
    uint64_t base;
    /* Only of a TX queue: where the device writes its head. */
    uint8_t write_head;
    uint64_t head_address;
    /* Only of an RX queue. */
    uint16_t buffer_size, max_frame;
    uint8_t descriptor_size;
} Queue;

typedef struct SegmentDescriptor {
    uint32_t low, high;
} SegmentDescriptor;

struct X710State {
    PCIDevice parent_obj;
    MemoryRegion registers_bar, msix_bar;
    NICState *nic;
    NICConf conf;
    char *journal_path;

    uint32_t *registers;
    AdminRing atq, arq;
    uint8_t pending[PF_VECTORS];
    Vf vfs[VFS];
    Vsi vsis[VSIS];
    Veb vebs[VEBS];
    Filter filters[FILTERS];
    uint32_t filter_count;
    VlanPromisc vlan_promiscs[VLAN_PROMISCS];
    uint32_t vlan_promisc_count;
    Queue tx[QUEUES], rx[QUEUES];
    SegmentDescriptor segments[SEGMENTS];
    uint8_t mac[6];
    uint8_t link_events, link_disabled, link_event_pending, limited_promisc;

    /* The registers in a snapshot: pairs of an index and a value that is not 0. */
    uint32_t saved_count;
    uint32_t *saved;

    /* Not in a snapshot. */
    FILE *journal;
    unsigned journal_lines;
    unsigned long *noted;
    uint8_t *frame, *segment;
    bool running_commands, transmitting;
};

struct X710VfState {
    PCIDevice parent_obj;
    MemoryRegion registers_bar, msix_bar;
    unsigned long noted[BITS_TO_LONGS(2 * VF_BAR_SIZE / 4)];
};

/* pf.c */
PCIDevice *x710_function(X710State *s, int function);
bool x710_link_up(X710State *s);

/* journal.c */
void x710_journal(X710State *s, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* register_map.c */
typedef enum ResetLevel { RESET_VF, RESET_PF, RESET_CORE, RESET_GLOBAL, RESET_POWER } ResetLevel;
bool x710_register_known(uint32_t address);
bool x710_register_read_only(uint32_t address);
void x710_clear_registers(X710State *s, ResetLevel level);

/* registers.c */
uint32_t x710_read(X710State *s, uint32_t address);
void x710_write(X710State *s, uint32_t address, uint32_t value);
void x710_preset_registers(X710State *s);
extern const MemoryRegionOps x710_register_ops;

static inline uint32_t *x710_register(X710State *s, uint32_t address)
{
    return &s->registers[address / 4];
}

/* vf.c */
extern const MemoryRegionOps x710_vf_register_ops;

/* interrupt.c */
void x710_raise(X710State *s, int function, unsigned vector);
void x710_raise_cause(X710State *s, int function, uint32_t cause);
void x710_raise_queue(X710State *s, const Queue *queue, uint32_t control_register);
uint32_t x710_read_cause(X710State *s, int function);
bool x710_write_interrupt(X710State *s, uint32_t address, uint32_t value);

/* admin_queue.c */
typedef struct AqDescriptor {
    uint16_t flags, opcode, length, result;
    uint32_t cookie_high, cookie_low;
    uint8_t parameters[16];
} AqDescriptor;

/* `buffer` has MAX_AQ_BUFFER bytes; `length` of them belong to the command. */
typedef struct AqCommand {
    AqDescriptor *descriptor;
    uint8_t *parameters;
    uint8_t *buffer;
    size_t length;
} AqCommand;

void x710_run_commands(X710State *s);
void x710_forward_messages(X710State *s, unsigned vf);
void x710_forward_all_messages(X710State *s);
uint16_t x710_send_to_vf(X710State *s, unsigned vf, const AqCommand *command);
void x710_send_link_event(X710State *s);

/* commands.c, switch_commands.c, link_commands.c: they return an error of the admin queue, or AQ_UNKNOWN. */
uint16_t x710_run_command(X710State *s, AqCommand *command);
uint16_t x710_run_switch_command(X710State *s, AqCommand *command);
uint16_t x710_run_link_command(X710State *s, AqCommand *command);
void x710_fill_link_status(X710State *s, uint8_t *parameters);

/* nvm.c */
uint16_t x710_nvm_word(uint32_t offset);

/* vsi.c */
void x710_reset_switch(X710State *s);
int x710_vsi_by_seid(X710State *s, uint16_t seid);
int x710_vsi_of_queue(X710State *s, unsigned queue);
int x710_first_queue(const Vsi *vsi);
void x710_remove_vsi(X710State *s, unsigned vsi);
bool x710_filter_matches(X710State *s, unsigned vsi, const uint8_t *mac, uint16_t vlan);
uint16_t x710_promisc_on_vlan(X710State *s, unsigned vsi, uint16_t vlan);
void x710_set_promisc_on_vlan(X710State *s, unsigned vsi, uint16_t vlan, uint16_t flags, uint16_t valid);
bool x710_add_filter(X710State *s, const Filter *filter);
bool x710_remove_filter(X710State *s, const Filter *filter);

/* vsi_table.c */
char *x710_vsi_table(Object *object, Error **errp);

/* switch.c */
bool x710_accept_from_driver(X710State *s, unsigned vsi, const uint8_t *frame, size_t length);
void x710_deliver(X710State *s, int source, const uint8_t *frame, size_t length);

/* hmc.c */
void x710_write_segment(X710State *s, uint32_t command);
bool x710_load_tx_queue(X710State *s, unsigned index);
bool x710_load_rx_queue(X710State *s, unsigned index);

/* queue.c */
void x710_enable_tx(X710State *s, unsigned index, uint32_t value);
void x710_enable_rx(X710State *s, unsigned index, uint32_t value);
void x710_stop_tx(X710State *s, unsigned index);
void x710_stop_rx(X710State *s, unsigned index);

/* transmit.c, receive.c */
void x710_transmit(X710State *s, unsigned index);
void x710_receive(X710State *s, unsigned vsi, const uint8_t *frame, size_t length);

/* offload.c */
typedef struct Offload {
    bool ipv4_checksum, tcp, udp, segment;
    unsigned l2_length, l3_length, l4_length, segment_size;
} Offload;
void x710_send_offloaded(X710State *s, unsigned vsi, size_t length, const Offload *offload);

/* transmit.c, for offload.c */
void x710_send_frame(X710State *s, unsigned vsi, uint8_t *frame, size_t length);

/* statistics.c */
void x710_count(X710State *s, uint32_t register_low, uint64_t amount);
void x710_count_received(X710State *s, unsigned vsi, const uint8_t *frame, size_t length);
void x710_count_sent(X710State *s, unsigned vsi, const uint8_t *frame, size_t length);
void x710_count_on_port(X710State *s, bool sent, const uint8_t *frame, size_t length);

/* reset.c */
void x710_reset(X710State *s, ResetLevel level);
void x710_reset_vf(X710State *s, unsigned vf);
void x710_reset_by_driver(X710State *s, uint32_t trigger);
void x710_vf_function_reset(X710State *s, unsigned vf);

/* vmstate.c */
extern const VMStateDescription x710_vmstate, x710_vf_vmstate;

#endif
