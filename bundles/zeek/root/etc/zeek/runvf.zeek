##! Settings of a sensor of runvf: JSON logs that rotate, counters for the health check, and tenant and VLAN in conn.log.

@load base/frameworks/logging
@load policy/misc/stats
@load policy/tuning/json-logs

# The sender's NIC computes checksums after the mirror port has copied the frame.
redef ignore_checksums = T;

redef Stats::report_interval = 10 sec;
redef Log::default_rotation_interval = 1 hr;
# The script `sensor` removes the oldest of them.
redef Log::default_rotation_dir = "/var/log/zeek/old";

# A fanout group of its own: the default one is shared by all interfaces of a network namespace.
redef AF_Packet::fanout_id = 100;
redef AF_Packet::buffer_size = 64 * 1024 * 1024;

redef record Conn::Info += {
    ## The tenant and the VLAN, from the alias that runvf gives the interface.
    tenant: string &optional &log;
    tenant_vlan: count &optional &log;
};

event connection_state_remove(c: connection)
    {
    local tenant = getenv("TENANT");
    local vlan = getenv("VLAN");
    if ( tenant != "" )
        c$conn$tenant = tenant;
    if ( vlan != "" )
        c$conn$tenant_vlan = to_count(vlan);
    }
