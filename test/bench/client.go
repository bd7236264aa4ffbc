//go:build cgo && (pacific || quincy || reef || squid || tentacle)

package main

import (
	"github.com/cephferry/cephferry/test/lab/agent"
	"github.com/cephferry/cephferry/test/lab/librbd"
)

// dialNode connects as a node does.
func dialNode(settings agent.CephSettings) (agent.Client, error) { return librbd.Dial(settings) }
