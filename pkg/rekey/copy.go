package rekey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"github.com/cephferry/cephferry/pkg/staticpv"
)

// Copies keeps in a directory the volumes that are to take the place of others, so that one
// is not lost while it is in no cluster. It is not kept in the cluster: what the team of
// the claim may write must not become a PersistentVolume.
type Copies struct {
	Dir string
	// Cluster is the name of the cluster: several may share a directory.
	Cluster string
}

// Path is where the volume of that name is kept.
func (c Copies) Path(name string) string {
	return filepath.Join(c.Dir, url.PathEscape(staticpv.Handle(name, c.Cluster))+".json")
}

// Read returns nil when there is none.
func (c Copies) Read(name string) (*corev1.PersistentVolume, error) {
	data, err := os.ReadFile(c.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var pv corev1.PersistentVolume
	if err := json.Unmarshal(data, &pv); err != nil {
		return nil, fmt.Errorf("understand %s: %w", c.Path(name), err)
	}
	if pv.Spec.CSI == nil {
		return nil, fmt.Errorf("understand %s: it has no spec.csi", c.Path(name))
	}
	return &pv, nil
}

// Write returns when the copy is on the disk, whole.
func (c Copies) Write(pv *corev1.PersistentVolume) (err error) {
	data, err := json.MarshalIndent(pv, "", "  ")
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(c.Dir, pv.Name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(append(data, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), c.Path(pv.Name)); err != nil {
		return err
	}
	return syncDir(c.Dir)
}

// syncDir makes the file's name as lasting as its bytes.
func syncDir(dir string) error {
	directory, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// Remove is for a volume that is in the cluster.
func (c Copies) Remove(name string) error {
	if err := os.Remove(c.Path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
