//go:build linux

package lab

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The pools of a lab's Ceph. Both are initialised for RBD.
const (
	Pool      = "replicapool"
	OtherPool = "otherpool"
)

// The CephFS file system of a lab's Ceph, and its pools.
const (
	Filesystem   = "cephfs"
	MetadataPool = "cephfs-metadata"
	DataPool     = "cephfs-data"
)

const cephReady = 30 * time.Second

// Ceph is a running Ceph: one monitor, one OSD, one manager, one metadata server,
// cephx on.
type Ceph struct {
	// ConfFile is for `ceph -c`, `rbd -c` and librados. With it alone they are
	// client.admin; with `--id X`, any user of this lab.
	ConfFile string
	FSID     string
	// Monitors are the addresses for messenger v2, ip:port, and V1 those for the first one,
	// which ceph-csi's configuration has: the kernel mounts CephFS by them.
	Monitors, V1 []string
	// Admin may do everything. The others are the users that Rook makes for ceph-csi
	// in another cluster ("external mode"), with the same caps: Provisioner and Node
	// for RBD, and those for CephFS.
	Admin, Provisioner, Node      User
	CephFSProvisioner, CephFSNode User

	Mon, OSD *Process
	// Manager and MDS are nil with [Options.OnlyRBD].
	Manager, MDS *Process

	*servers
	programs cephPrograms
	host     string
}

type cephPrograms struct{ mon, osd, mgr, mds, monmaptool, ceph, rbd string }

func findCeph() (cephPrograms, error) {
	var programs cephPrograms
	for _, wanted := range []struct {
		path            *string
		name, inPackage string
	}{
		{&programs.mon, "ceph-mon", "ceph-mon"},
		{&programs.osd, "ceph-osd", "ceph-osd"},
		{&programs.mgr, "ceph-mgr", "ceph-mgr"},
		{&programs.mds, "ceph-mds", "ceph-mds"},
		{&programs.monmaptool, "monmaptool", "ceph-common"},
		{&programs.ceph, "ceph", "ceph-common"},
		{&programs.rbd, "rbd", "ceph-common"},
	} {
		path, err := findInstalled(wanted.name, wanted.inPackage)
		if err != nil {
			return cephPrograms{}, err
		}
		*wanted.path = path
	}
	return programs, nil
}

// StartCeph starts a Ceph with the pools [Pool] and [OtherPool] and returns when
// images can be made in them. The manager and the metadata server of [Filesystem]
// start after that and are not waited for: RBD does without them, and they take
// longer than all the rest (see [Ceph.WaitManager], [Ceph.WaitFilesystem]). On an
// error nothing is left running.
func StartCeph(ctx context.Context, options Options) (_ *Ceph, err error) {
	c := &Ceph{}
	if c.programs, err = findCeph(); err != nil {
		return nil, err
	}
	if c.servers, err = newServers(options); err != nil {
		return nil, err
	}
	c.host = options.listen()
	ports, err := reservePorts(2)
	if err != nil {
		return nil, err
	}
	defer ports.release()
	defer func() {
		if err != nil {
			_ = c.Stop()
		}
	}()

	if err := c.writeFiles(ports.numbers[0], ports.numbers[1]); err != nil {
		return nil, err
	}
	if err := c.startMon(ctx, ports.numbers[0], ports.numbers[1]); err != nil {
		return nil, err
	}
	if err := c.startOSD(ctx, options.OnlyRBD); err != nil {
		return nil, err
	}
	if options.OnlyRBD {
		return c, nil
	}
	if err := c.startManager(); err != nil {
		return nil, err
	}
	if c.MDS, err = c.start("mds", c.programs.mds, "-f", "-c", c.ConfFile, "-i", "a"); err != nil {
		return nil, err
	}
	return c, nil
}

// startManager starts the manager without bcrypt, which no module of the lab's calls and all
// import: the one of Debian 13 cannot be imported into a second interpreter, and the manager
// has one for each module.
func (c *Ceph) startManager() error {
	python := filepath.Join(c.dir, "python")
	if err := os.MkdirAll(python, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(python, "bcrypt.py"), nil, 0o600); err != nil {
		return err
	}
	var err error
	c.Manager, err = c.start("mgr", "/usr/bin/env", "PYTHONPATH="+python, c.programs.mgr, "-f", "-c", c.ConfFile, "-i", "x")
	return err
}

// classDir is the folder of the OSD's classes. The default of Debian 13's Ceph is relative to
// /usr.
func classDir() (string, error) {
	const class = "libcls_rbd.so"
	found, err := filepath.Glob("/usr/lib/*/rados-classes/" + class)
	if err != nil || len(found) == 0 {
		return "", fmt.Errorf("find %s of the OSD: no such file in /usr/lib/*/rados-classes", class)
	}
	return filepath.Dir(found[0]), nil
}

// writeFiles writes the configuration and all keys. That the keys are made here,
// and the monitor begins its life with them, saves a dozen commands.
func (c *Ceph) writeFiles(v2, v1 int) error {
	c.ConfFile = filepath.Join(c.dir, "ceph.conf")
	c.FSID = newUUID()
	c.Monitors, c.V1 = []string{join(c.host, v2)}, []string{join(c.host, v1)}

	classes, err := classDir()
	if err != nil {
		return err
	}
	conf, err := render("ceph.conf.tmpl", map[string]string{
		"FSID": c.FSID, "Dir": c.dir, "Classes": classes, "Host": c.host, "V2": join(c.host, v2), "V1": join(c.host, v1),
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.ConfFile, []byte(conf), 0o600); err != nil {
		return err
	}
	for _, sub := range []string{"keyrings", "crash", "mon", "osd", "mgr", "mds"} {
		if err := os.MkdirAll(filepath.Join(c.dir, sub), 0o700); err != nil {
			return err
		}
	}

	const (
		external       = "profile rbd, allow command 'osd blocklist'"
		externalCephFS = "allow r, allow command 'osd blocklist'"
	)
	var all strings.Builder
	for _, entity := range []struct {
		name string
		caps []string
		user *User
	}{
		{name: "mon.", caps: []string{"mon", "allow *"}},
		{name: "osd.0", caps: []string{"mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"}},
		{name: "mgr.x", caps: []string{"mon", "allow profile mgr", "osd", "allow *", "mds", "allow *"}},
		{name: "mds.a", caps: []string{"mon", "allow profile mds", "mgr", "allow profile mds", "osd", "allow rw tag cephfs *=*", "mds", "allow"}},
		{name: "client.admin", user: &c.Admin, caps: []string{"mon", "allow *", "mgr", "allow *", "osd", "allow *", "mds", "allow *"}},
		{name: "client.csi-rbd-provisioner", user: &c.Provisioner, caps: []string{"mon", external, "mgr", "allow rw", "osd", "profile rbd"}},
		{name: "client.csi-rbd-node", user: &c.Node, caps: []string{"mon", external, "osd", "profile rbd"}},
		{name: "client.csi-cephfs-provisioner", user: &c.CephFSProvisioner, caps: []string{"mon", externalCephFS, "mgr", "allow rw", "osd", "allow rw tag cephfs metadata=*", "mds", "allow *"}},
		{name: "client.csi-cephfs-node", user: &c.CephFSNode, caps: []string{"mon", externalCephFS, "mgr", "allow rw", "osd", "allow rw tag cephfs *=*", "mds", "allow rw"}},
	} {
		key := newKey()
		section := keyring(entity.name, key, entity.caps)
		file := c.keyringFile(entity.name)
		if err := os.WriteFile(file, []byte(section), 0o600); err != nil {
			return err
		}
		if entity.user != nil {
			*entity.user = User{ID: strings.TrimPrefix(entity.name, "client."), Key: key, KeyringFile: file}
		}
		all.WriteString(section)
	}
	return os.WriteFile(filepath.Join(c.dir, "mon.keyring"), []byte(all.String()), 0o600)
}

func (c *Ceph) startMon(ctx context.Context, v2, v1 int) error {
	// Without a map, `ceph-mon --mkfs` gives itself the default ports whatever
	// mon_host says, and then waits for a quorum for ever.
	monmap := filepath.Join(c.dir, "monmap")
	if _, err := run(ctx, "", c.programs.monmaptool, "--create", "--clobber", "--fsid", c.FSID,
		"--addv", "a", fmt.Sprintf("[v2:%s,v1:%s]", join(c.host, v2), join(c.host, v1)), monmap); err != nil {
		return err
	}
	if _, err := run(ctx, "", c.programs.mon, "-c", c.ConfFile, "-i", "a", "--mkfs",
		"--monmap", monmap, "--keyring", filepath.Join(c.dir, "mon.keyring")); err != nil {
		return err
	}
	var err error
	c.Mon, err = c.start("mon", c.programs.mon, "-f", "-c", c.ConfFile, "-i", "a")
	return err
}

func (c *Ceph) startOSD(ctx context.Context, onlyRBD bool) error {
	uuid := newUUID()
	if _, err := run(ctx, "", c.programs.osd, "-c", c.ConfFile, "-i", "0", "--mkfs", "--no-mon-config", "--osd-uuid", uuid); err != nil {
		return err
	}
	// The monitor takes these before any OSD runs. One process for all of them:
	// the ceph command takes 0.3 s to start.
	lines := []string{"osd new " + uuid + " 0", "osd pool create " + Pool, "osd pool create " + OtherPool}
	if !onlyRBD {
		lines = append(lines, "osd pool create "+MetadataPool, "osd pool create "+DataPool, "fs new "+Filesystem+" "+MetadataPool+" "+DataPool)
	}
	if err := c.Mon.await(ctx, cephReady, func(ctx context.Context) error { return c.runLines(ctx, lines...) }); err != nil {
		return err
	}
	// Without a socket an OSD does not answer `ceph tell` either. The path is short, because
	// it begins in the servers' folder, where they run.
	var err error
	if c.OSD, err = c.start("osd", c.programs.osd, "-f", "-c", c.ConfFile, "-i", "0", "--admin_socket", "osd.socket"); err != nil {
		return err
	}
	// This also waits for the OSD. A client that comes before the OSD looks at
	// the map again only after objecter_tick_interval, 5 s by default.
	initialised := make(chan error, 2)
	for _, pool := range []string{Pool, OtherPool} {
		go func() {
			initialised <- c.OSD.await(ctx, cephReady, func(ctx context.Context) error {
				_, err := c.RBD(ctx, "--objecter_tick_interval", "0.1", "pool", "init", pool)
				return err
			})
		}()
	}
	return errors.Join(<-initialised, <-initialised)
}

// newUUID is a random (version 4) UUID.
func newUUID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
