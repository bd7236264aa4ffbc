# Tests with the kernel client, in virtual machines (see test/krbd/vm).

KERNEL_DIR := $(CEPHFERRY_CACHE)/linux-cloud-amd64
export CEPHFERRY_KERNEL := $(KERNEL_DIR)

$(KERNEL_DIR):
	@mkdir -p $(dir $@)
	test/krbd/fetch-kernel $@

.PHONY: bin/krbd-guest
bin/krbd-guest:
	@mkdir -p bin
	CGO_ENABLED=0 GOARCH=amd64 go build -trimpath -ldflags '-s -w' -o $@ ./test/krbd/cmd/krbd-guest

# The tests mostly wait for Ceph's timeouts, so they all run at the same time.
.PHONY: test-krbd
test-krbd: deps bin/krbd-guest | $(KERNEL_DIR) ## Test against the kernel client, in virtual machines
	$(LAB_TESTS) ./test/krbd
