//go:build linux

package lab

import (
	"cmp"
	"fmt"
	"os/exec"
	"path/filepath"
)

// ToolsVariable is the environment variable that make sets to the value of
// [Tools].
const ToolsVariable = "CEPHFERRY_TOOLS"

// OneProcessor, in [Options.Environ], is for servers that share few processors with many others.
// A Go program that believes it has several looks for work on each of them whenever it wakes up,
// and so works up to a tenth more.
const OneProcessor = "GOMAXPROCS=1"

// Options say how servers are started.
type Options struct {
	// Dir is the folder for everything the servers write. It is made if needed.
	Dir string
	// Tools has the programs that make builds.
	Tools Tools
	// Detached servers outlive the process that starts them.
	Detached bool
	// Environ is added to the environment of the servers.
	Environ []string
	// Nodes are for [Start]. Without any, everything is on loopback.
	Nodes Nodes
	// OnlyRBD is for [StartCeph]: without a file system, and without the manager, whose start
	// takes more work than all the rest. Then a quota never fills a pool.
	OnlyRBD bool
	// Rook are names for [Start], by cluster.
	Rook map[string]Rook

	// host is where Ceph and the API servers listen; empty is loopback.
	host string
	// far is where Ceph's servers run; nil is this machine.
	far *Distance
}

func (o Options) listen() string { return cmp.Or(o.host, "127.0.0.1") }

// Tools are the folders with the programs that make builds: kube-apiserver,
// kube-controller-manager, kubectl, helm (Helm 3), helm4 and the project's own,
// joined by colons as in PATH.
type Tools string

// Find returns the path of the program of that name.
func (t Tools) Find(name string) (string, error) {
	for _, dir := range filepath.SplitList(string(t)) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return filepath.Abs(path)
		}
	}
	if t == "" {
		return "", fmt.Errorf("find %s: %s is not set; start this through make, which builds the programs and sets it (see `make help`)", name, ToolsVariable)
	}
	return "", fmt.Errorf("find %s: it is in none of %s (%s); `make tools` builds it", name, ToolsVariable, t)
}

// findInstalled returns the path of a program that a Debian package provides.
func findInstalled(name, debianPackage string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find %s: %w; `apt-get install %s` provides it", name, err, debianPackage)
	}
	return filepath.Abs(path)
}
