#!/bin/bash
# Functions of the evidence test: what the sensors of a tenant found live, and what the same programs find in the tenant's own
# file. The output is sorted, so that equal multisets are equal texts.

# Event type, addresses and ports, protocol, signature, host and URL, query name, server name.
events() {  # EVE_FILE
    jq -c 'select(.event_type != "stats") | [.event_type, .src_ip, .src_port, .dest_ip, .dest_port, .proto,
        .alert.signature_id, .http.hostname, .http.url, (.dns.rrname // .dns.query[0].rrname? // null), .tls.sni]' "$1" | sort
}

# Protocol, addresses and ports, and the packets of both directions.
flows() {  # FOLDER
    docker run --rm --network none -v "$1:/data:ro" runvf/argus racluster -n -c , -m proto saddr sport daddr dport \
        -r /data/argus.out -s proto,saddr,sport,daddr,dport,spkts,dpkts - not man | grep -v '^Proto' | sort
}

suricata_offline() {  # NAME
    mkdir -p "/tmp/e/$1/offline-suricata"
    chmod 1777 "/tmp/e/$1/offline-suricata"
    docker run --rm --network none -v "/tmp/e/$1.pcap:/in.pcap:ro" -v "/tmp/e/$1/offline-suricata:/var/log/suricata" \
        -v /tmp/e/evidence.rules:/etc/suricata/rules/local.rules:ro runvf/suricata \
        suricata -c /etc/suricata/suricata.yaml --runmode single -k none -r /in.pcap -l /var/log/suricata > /dev/null
    events "/tmp/e/$1/offline-suricata/eve.json"
}

argus_offline() {  # NAME
    mkdir -p "/tmp/e/$1/offline-argus"
    chmod 1777 "/tmp/e/$1/offline-argus"
    docker run --rm --network none -v "/tmp/e/$1.pcap:/in.pcap:ro" -v "/tmp/e/$1/offline-argus:/out" runvf/argus \
        argus -X -S 5 -r /in.pcap -w /out/argus.out
    flows "/tmp/e/$1/offline-argus"
}
