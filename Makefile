# runvf: `make help` lists the targets.
#
# Everything runs as root: the lab unpacks Debian packages, and some tests make network namespaces. A machine without
# cargo 1.89 or newer gets a Debian 13 root that has it (tests/workshop), and the same targets run inside that root.

SHELL := /bin/bash
.DEFAULT_GOAL := help

DESTDIR ?=
DOC = $(DESTDIR)/usr/share/doc/runvf

TARGET = $(or $(CARGO_TARGET_DIR),target)
# The programs that users get.
BUILT = $(TARGET)/dist

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

ifeq ($(shell tests/workshop needed && echo yes),yes)

# The Debian root does not see this machine's environment.
TARGET = target
PASSED_ON = $(foreach name,FUZZ_SECONDS KERNEL NIC RUNVF_LABS RUNVF_SEED,$(if $($(name)),$(name)=$($(name))))

.PHONY: build test soak trial test-unit test-netns test-lab test-monitor bench fuzz demo deb lab lab-shell lint deny fmt deps
build test soak trial test-unit test-netns test-lab test-monitor bench fuzz demo deb lab lab-shell lint deny fmt deps:
	@tests/workshop run make $@ $(PASSED_ON)

else

.PHONY: deps
deps: ## install the Debian packages that building and testing need
	@tests/deps

# Two profiles (Cargo.toml): `dist` for the programs that users get, `release` for the lab and the tests. Both build the
# same set of packages, because cargo would enable other features of the shared dependencies for another set, and build
# those dependencies again.
CARGO := cargo --locked
PROGRAMS := --workspace --bin runvf --bin runvf-hook --bin runvfctl --bin runvf-monitor
LAB := $(TARGET)/release/lab
# The SR-IOV NIC of the emulated host: NIC=82576 or NIC=x710. Its kernel: KERNEL=stable or KERNEL=backports.
HOST_NIC = $(or $(NIC),82576)
KERNEL ?= stable
HOST = --nic $(HOST_NIC) --kernel $(KERNEL)

.PHONY: build
build: deps ## build runvf, runvf-hook, runvfctl and runvf-monitor into target/dist
	$(CARGO) build --profile dist $(PROGRAMS)

# The kinds of hosts that a target needs.
HOSTS = '$(HOST)'
test test-lab: HOSTS = '--nic 82576' '--nic x710'
soak trial: HOSTS = '--nic 82576' '--nic x710' '--nic x710 --kernel backports'

# Building the emulated host takes minutes and does not need the programs, so both are built at once.
.PHONY: build-and-image
build-and-image: deps
	$(CARGO) build --release --workspace --bin lab --bin demo
	@for host in $(HOSTS); do $(LAB) build $$host || exit; done & image=$$!; $(CARGO) build --profile dist $(PROGRAMS); built=$$?; wait $$image && exit $$built

.PHONY: demo
demo: HOST_NIC = $(or $(NIC),x710)
demo: build-and-image ## three tenants' sensors on an emulated X710, and what each one saw; NIC=82576
	@$(TARGET)/release/demo $(HOST)

.PHONY: lab
lab: build-and-image ## boot the emulated SR-IOV host and leave it running; NIC=x710, KERNEL=backports
	@$(LAB) up --detach $(HOST)

.PHONY: lab-shell
lab-shell: build-and-image ## a shell in the emulated SR-IOV host; NIC=x710, KERNEL=backports
	@$(LAB) shell $(HOST)

.PHONY: test
test: build-and-image ## one test of each kind, of all three rings; about 15 minutes
	@tests/run unit netns lab

.PHONY: soak
soak: FUZZ_SECONDS ?= 120
soak: build-and-image ## kill sweeps, crowds, endurance, the other NIC and kernel, fuzzing; about 35 minutes
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run soak monitor fuzz

.PHONY: trial
trial: FUZZ_SECONDS ?= 1800
trial: build-and-image ## the tests that depend on chance or time, with large counts; takes hours
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tests/run trial fuzz

.PHONY: test-unit
test-unit: deps ## ring 1: pure logic
	@tests/run unit

.PHONY: test-netns
test-netns: deps ## ring 2: the kernel's interfaces, in real network namespaces
	@tests/run netns

.PHONY: test-lab
test-lab: build-and-image ## ring 3: the programs under Docker and Podman on an emulated SR-IOV host
	@tests/run lab

.PHONY: test-monitor
test-monitor: deps ## metrics, alerts, dashboard and page of the monitor, with Prometheus and Chromium
	@tests/run monitor

.PHONY: bench
bench: build-and-image ## the time that runvf takes beside runc, crun, `ip` and the kernel alone; NIC=x710; not a test
	@$(CARGO) build --release --workspace --bin bench
	@$(CARGO) build --profile dist --workspace --bin bench-guest
	@$(TARGET)/release/bench $(HOST)

.PHONY: fuzz
fuzz: FUZZ_SECONDS ?= 600
fuzz: deps ## random input for all parsers, for FUZZ_SECONDS (600)
	@tests/fuzz $(FUZZ_SECONDS)

.PHONY: deb
deb: build ## pack a Debian package into target/
	@packaging/deb/build

SHELL_FILES = .ci/run tests/run tests/fuzz tests/deps tests/workshop tests/monitor/tools $(addprefix packaging/deb/,build preinst postinst postrm prerm) \
    $(wildcard bundles/*.sh) $(shell find tests -name '*.sh')

.PHONY: lint
lint: deps ## formatting, clippy and shellcheck
	cargo fmt --all -- --check
	cargo fmt --manifest-path tests/cri/Cargo.toml -- --check
	$(CARGO) clippy --release --manifest-path tests/cri/Cargo.toml --target-dir $(TARGET)/cri -- -D warnings
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --workspace --lib --bins --features vf/fault-points -- -D warnings
	shellcheck $(SHELL_FILES)

.PHONY: deny
deny: deps ## licences, origins and known vulnerabilities of all packages; not a test, because it needs the network
	@command -v cargo-deny > /dev/null || cargo install --locked cargo-deny
	cargo deny --locked check licenses bans sources
	cargo deny --locked check advisories
	cargo deny --locked --manifest-path tests/cri/Cargo.toml check --config deny.toml licenses bans sources

.PHONY: fmt
fmt: deps ## format the code
	cargo fmt --all
	cargo fmt --manifest-path tests/cri/Cargo.toml

endif

.PHONY: install
# Only under /usr, because units, rules and hooks name the programs by these paths, and engines search there.
install: ## install the programs that `make build` built (DESTDIR)
	install -D -m 755 $(BUILT)/runvf $(DESTDIR)/usr/bin/runvf
	install -D -m 755 $(BUILT)/runvfctl $(DESTDIR)/usr/bin/runvfctl
	install -D -m 755 -t $(DESTDIR)/usr/libexec/runvf $(BUILT)/runvf-hook $(BUILT)/runvf-monitor
# Under this name it is the plugin for Podman's networks. Podman runs it only for a network of the driver `runvf`.
	mkdir -p $(DESTDIR)/usr/libexec/netavark
	ln -sf ../runvf/runvf-hook $(DESTDIR)/usr/libexec/netavark/runvf
	install -D -m 644 -t $(DESTDIR)/usr/lib/udev/rules.d packaging/udev/70-runvf.rules
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/network packaging/network/00-runvf.link packaging/network/00-runvf.network
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system $(wildcard packaging/systemd/*)
	mkdir -p $(DESTDIR)/usr/share/man/man1 $(DESTDIR)/usr/share/bash-completion/completions \
	    $(DESTDIR)/usr/share/zsh/vendor-completions $(DESTDIR)/usr/share/fish/vendor_completions.d
	for program in runvf runvfctl; do \
	    $(BUILT)/$$program man $(DESTDIR)/usr/share/man/man1 && \
	    $(BUILT)/$$program completion bash > $(DESTDIR)/usr/share/bash-completion/completions/$$program && \
	    $(BUILT)/$$program completion zsh > $(DESTDIR)/usr/share/zsh/vendor-completions/_$$program && \
	    $(BUILT)/$$program completion fish > $(DESTDIR)/usr/share/fish/vendor_completions.d/$$program.fish || exit; \
	done
	install -D -m 644 packaging/logrotate.d/runvf $(DESTDIR)/etc/logrotate.d/runvf
	install -D -m 644 -t $(DOC) README.md ARCHITECTURE.md CHANGELOG.md LICENSE
	install -D -m 644 -t $(DOC)/docs docs/*.md
	install -D -m 644 -t $(DOC)/docs/images docs/images/*
	install -D -m 644 -t $(DOC)/docs/examples docs/examples/*
	install -D -m 644 -t $(DOC)/monitor monitor/dashboard.json
	install -D -m 644 -t $(DOC)/monitor/rules monitor/rules/*.yml
	tar -c --exclude=rootfs bundles | tar -x --no-same-owner -C $(DOC)

# For the package, whose `Breaks` excludes a Podman that runvf does not support. Not a part of `install`, because Podman
# runs these hooks at once; `runvfctl install podman` checks the version and writes the same files.
.PHONY: install-podman-hooks
install-podman-hooks:
	install -D -m 644 -t $(DESTDIR)/usr/share/containers/oci/hooks.d packaging/hooks.d/*.json

.PHONY: uninstall
uninstall: ## remove the installed files; /etc/runvf and /var/log/runvf stay
	-[ -n "$(DESTDIR)" ] || ! [ -x /usr/bin/runvfctl ] || /usr/bin/runvfctl setup --undo
	rm -f $(DESTDIR)/usr/bin/runvf $(DESTDIR)/usr/bin/runvfctl
	rm -f $(DESTDIR)/usr/share/containers/oci/hooks.d/runvf-{attach,detach}.json
	rm -f $(DESTDIR)/etc/containers/containers.conf.d/50-runvf.conf
	rm -f $(DESTDIR)/etc/cdi/runvf-{vlan,tenant}.json $(DESTDIR)/var/lib/runvf/install/cdi.json
	rm -f $(DESTDIR)/usr/lib/udev/rules.d/70-runvf.rules
	rm -f $(DESTDIR)/usr/lib/systemd/network/00-runvf.{link,network}
	rm -f $(DESTDIR)/usr/lib/systemd/system/runvf-{cdi.path,cdi.service,gc.service,gc.timer,setup.service,monitor.service}
	rm -f $(DESTDIR)/etc/logrotate.d/runvf
	rm -rf $(DESTDIR)/usr/libexec/runvf $(DOC)
	rm -f $(DESTDIR)/usr/libexec/netavark/runvf
	rm -f $(DESTDIR)/usr/share/man/man1/{runvf,runvfctl}{,-*}.1
	rm -f $(DESTDIR)/usr/share/bash-completion/completions/{runvf,runvfctl}
	rm -f $(DESTDIR)/usr/share/zsh/vendor-completions/_{runvf,runvfctl}
	rm -f $(DESTDIR)/usr/share/fish/vendor_completions.d/{runvf,runvfctl}.fish
