# go-ceph has to be told which Ceph release it is built against, by a build tag:
# without one it uses functions that older libraries lack. Each release of librbd
# has its own minor version, so the installed header tells.
#
# Package goceph has real code only under one of these tags, so that builds and
# tests without them need neither librbd nor cgo.

LIBRBD_HEADER ?= /usr/include/rbd/librbd.h

CEPH_RELEASE_16 := pacific
CEPH_RELEASE_17 := quincy
CEPH_RELEASE_18 := reef
CEPH_RELEASE_19 := squid
CEPH_RELEASE_20 := tentacle

librbd-minor = $(shell awk '$$2 == "LIBRBD_VER_MINOR" { print $$3 }' '$(LIBRBD_HEADER)' 2>/dev/null)

no-librbd = $(error $(LIBRBD_HEADER) is missing; `apt-get install g++ librados-dev libradospp-dev librbd-dev` provides it)
unknown-librbd = $(error librbd 1.$(librbd-minor) is none that ceph.mk knows; set GO_CEPH_TAGS to the Ceph release, or build without Ceph: `make build-static`)

# Expanded only where it is used: other targets work without librbd, and
# `make deps` may install it first.
GO_CEPH_TAGS ?= $(or $(CEPH_RELEASE_$(librbd-minor)),$(if $(librbd-minor),$(unknown-librbd),$(no-librbd)))
