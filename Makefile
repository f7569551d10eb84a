# runvf: `make help` lists what there is.
#
# Everything runs as root: the lab unpacks Debian packages, and a part of the tests makes network namespaces. A machine
# without cargo 1.88 or newer gets a Debian 13 root with one (tests/workshop), and the same targets run inside it.

SHELL := /bin/bash
.DEFAULT_GOAL := help

PREFIX ?= /usr
DESTDIR ?=

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

ifeq ($(shell tests/workshop needed && echo yes),yes)

.PHONY: build test test-unit test-netns test-lab demo deb lab lab-shell lint fmt deps
build test test-unit test-netns test-lab demo deb lab lab-shell lint fmt deps:
	@tests/workshop run make $@

else

.PHONY: deps
deps: ## install the Debian packages that building and testing need
	@tests/deps

# One profile and one choice of packages for everything, tests included: what is built once serves all of them. (With other
# packages cargo would choose other features for what they share, and build that anew.)
CARGO := cargo --locked
PROGRAMS := --workspace --bin runvf --bin runvf-hook --bin runvfctl
LAB := target/release/lab

.PHONY: build
build: deps ## build runvf, runvf-hook and runvfctl into target/release
	$(CARGO) build --release $(PROGRAMS)

# The emulated host takes minutes to make, and none of the programs: both at once.
.PHONY: build-and-image
build-and-image: deps
	$(CARGO) build --release --workspace --bin lab --bin demo
	@$(LAB) build & image=$$!; $(CARGO) build --release $(PROGRAMS); built=$$?; wait $$image && exit $$built

.PHONY: demo
demo: build-and-image ## three tenants' sensors on an emulated SR-IOV host; who saw what
	@target/release/demo

.PHONY: lab
lab: build-and-image ## boot the emulated SR-IOV host and leave it running
	@$(LAB) up --detach

.PHONY: lab-shell
lab-shell: build-and-image ## a shell in the emulated SR-IOV host
	@$(LAB) shell

.PHONY: test
test: build-and-image ## all three rings of tests
	@tests/run unit netns lab

.PHONY: test-unit
test-unit: deps ## ring 1: pure logic
	@tests/run unit

.PHONY: test-netns
test-netns: deps ## ring 2: the kernel's edge, in real network namespaces
	@tests/run netns

.PHONY: test-lab
test-lab: build-and-image ## ring 3: the built programs under Docker and Podman on an emulated SR-IOV host
	@tests/run lab

.PHONY: deb
deb: build ## pack a Debian package into target/
	@packaging/deb/build

.PHONY: lint
lint: deps ## formatting and clippy
	cargo fmt --all -- --check
	$(CARGO) clippy --release --workspace --all-targets -- -D warnings
	$(CARGO) clippy --release --workspace --lib --bins --features vf/fault-points -- -D warnings

.PHONY: fmt
fmt: deps ## format the code
	cargo fmt --all

endif

.PHONY: install
install: ## install what `make build` built (PREFIX, DESTDIR)
	install -D -m 755 target/release/runvf $(DESTDIR)$(PREFIX)/bin/runvf
	install -D -m 755 target/release/runvfctl $(DESTDIR)$(PREFIX)/bin/runvfctl
	install -D -m 755 target/release/runvf-hook $(DESTDIR)$(PREFIX)/libexec/runvf/runvf-hook
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/containers/oci/hooks.d packaging/hooks.d/*.json
	install -D -m 644 packaging/containers.conf.d/50-runvf.conf $(DESTDIR)/etc/containers/containers.conf.d/50-runvf.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/udev/rules.d packaging/udev/70-runvf.rules
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/network packaging/network/00-runvf.link packaging/network/00-runvf.network
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/systemd/system packaging/systemd/runvf-gc.service packaging/systemd/runvf-gc.timer packaging/systemd/runvf-setup.service
	mkdir -p $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/bash-completion/completions \
	    $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	for program in runvf runvfctl; do \
	    target/release/$$program man $(DESTDIR)$(PREFIX)/share/man/man1 && \
	    target/release/$$program completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/$$program && \
	    target/release/$$program completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_$$program && \
	    target/release/$$program completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/$$program.fish || exit; \
	done
	install -D -m 644 packaging/logrotate.d/runvf $(DESTDIR)/etc/logrotate.d/runvf

.PHONY: uninstall
uninstall: ## remove it again; /etc/runvf and /var/log/runvf stay
	rm -f $(DESTDIR)$(PREFIX)/bin/runvf $(DESTDIR)$(PREFIX)/bin/runvfctl
	rm -f $(DESTDIR)$(PREFIX)/share/containers/oci/hooks.d/runvf-{attach,detach}.json
	rm -f $(DESTDIR)/etc/containers/containers.conf.d/50-runvf.conf
	rm -f $(DESTDIR)$(PREFIX)/lib/udev/rules.d/70-runvf.rules
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/network/00-runvf.{link,network}
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/runvf-{gc.service,gc.timer,setup.service}
	rm -f $(DESTDIR)/etc/logrotate.d/runvf
	rm -rf $(DESTDIR)$(PREFIX)/libexec/runvf
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/{runvf,runvfctl}{,-*}.1
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/{runvf,runvfctl}
	rm -f $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_{runvf,runvfctl}
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/{runvf,runvfctl}.fish
