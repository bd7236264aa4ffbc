//go:build !cgo || !(pacific || quincy || reef || squid || tentacle)

package main

import (
	"errors"

	"github.com/cephferry/cephferry/test/lab/agent"
)

func dialNode(agent.CephSettings) (agent.Client, error) { return nil, errors.ErrUnsupported }
