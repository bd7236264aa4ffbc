package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/test/lab/stamp"
)

// mountedFolder is a CephFS volume that is staged.
type mountedFolder struct {
	folder Folder
	// diary is nil when the volume is mounted read-only.
	diary *stamp.Diary
	// seen is the file for what pods see.
	seen string
	log  *slog.Logger

	stop, stopped chan struct{}
}

func (f *mountedFolder) stamp(writer stamp.Writer) error {
	if f.diary == nil {
		return nil
	}
	return f.diary.Write(writer)
}

// expand does nothing: a quota is in force at once.
func (*mountedFolder) expand() (uint64, error) { return 0, nil }

// watch looks at everybody's stamps, through the mount that the pods write
// through, until close. Not between two stamps: reading a file of a node that is
// cut off waits until Ceph gives that node up, about a minute, and whoever writes
// only files of his own goes on meanwhile.
func (f *mountedFolder) watch(interval time.Duration) {
	defer close(f.stopped)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	problem := ""
	for {
		now := ""
		if err := f.look(); err != nil {
			now = err.Error()
		}
		if now != problem {
			f.log.Info("looking", "into", f.seen, "error", now)
			problem = now
		}
		select {
		case <-f.stop:
			return
		case <-ticker.C:
		}
	}
}

func (f *mountedFolder) look() error {
	newest, err := stamp.Newest(f.folder)
	if err != nil {
		return err
	}
	data, err := json.Marshal(newest)
	if err != nil {
		return err
	}
	// Readers find the old file or the new one.
	if err := os.WriteFile(f.seen+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(f.seen+".new", f.seen)
}

func (f *mountedFolder) close() error {
	close(f.stop)
	<-f.stopped
	err := f.folder.Close()
	if removed := os.Remove(f.seen); !errors.Is(removed, fs.ErrNotExist) {
		err = errors.Join(err, removed)
	}
	return err
}

// mountFolder mounts the volume. ceph-csi does not look whether others have it
// mounted: CephFS is for that.
func (n *node) mountFolder(ctx context.Context, pv *corev1.PersistentVolume) (_ staged, err error) {
	at, err := n.locate(ctx, pv)
	if err != nil {
		return nil, err
	}
	attributes := pv.Spec.CSI.VolumeAttributes
	root := cmp.Or(attributes["rootPath"], attributes["subvolumePath"])
	if root == "" {
		return nil, errors.New("missing required parameter rootPath")
	}
	if err := os.MkdirAll(n.Seen, 0o700); err != nil {
		return nil, err
	}
	folder, err := n.Mount(at.settings, attributes["fsName"], root)
	if err != nil {
		return nil, err
	}
	mounted := &mountedFolder{
		folder:  folder,
		seen:    filepath.Join(n.Seen, pv.Spec.CSI.VolumeHandle+".json"),
		log:     n.Log,
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	if mapMode(pv) != ReadOnly {
		if mounted.diary, err = stamp.Open(folder); err != nil {
			return nil, errors.Join(err, folder.Close())
		}
	}
	go mounted.watch(n.StampInterval)
	n.Log.Info("mounted", "filesystem", attributes["fsName"], "path", root, "as", at.settings.User)
	return mounted, nil
}
