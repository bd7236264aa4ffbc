package adopt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"

	"github.com/cephferry/cephferry/pkg/kubeyaml"
)

// Files keeps in a directory what kubectl makes old claims and volumes of again.
type Files struct {
	Dir string
	// Cluster is the name of the cluster: several may share a directory.
	Cluster string
}

// Saved are a claim and its volume as they are to be made again.
type Saved struct {
	PV    *corev1.PersistentVolume
	Claim *corev1.PersistentVolumeClaim
	// Granted: the grant in the namespace is this command's, to be taken back.
	Granted bool
}

// grantLine is the comment that says Granted.
const grantLine = "# The image was granted to the namespace by this command."

// Path is where the file of a claim is. A namespace has no dot, and a cluster's name no "~".
func (f Files) Path(name types.NamespacedName) string {
	return filepath.Join(f.Dir, fmt.Sprintf("%s.%s~%s.yaml", name.Namespace, name.Name, strings.ReplaceAll(f.Cluster, string(filepath.Separator), "_")))
}

// read returns nil when there is no file.
func (f Files) read(name types.NamespacedName) (*Saved, error) {
	data, err := os.ReadFile(f.Path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	saved := &Saved{PV: &corev1.PersistentVolume{}, Claim: &corev1.PersistentVolumeClaim{}, Granted: bytes.Contains(data, []byte(grantLine))}
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for _, into := range []any{saved.PV, saved.Claim} {
		if err := decoder.Decode(into); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("understand %s: %w", f.Path(name), err)
		}
	}
	if saved.PV.Spec.CSI == nil || saved.Claim.Namespace != name.Namespace || saved.Claim.Name != name.Name || saved.Claim.Spec.VolumeName != saved.PV.Name {
		return nil, fmt.Errorf("understand %s: it has no PersistentVolume of ceph-csi and claim %s with it", f.Path(name), name)
	}
	return saved, nil
}

// write returns when the file is on the disk, whole.
func (f Files) write(name types.NamespacedName, saved *Saved) (err error) {
	text := &bytes.Buffer{}
	fmt.Fprintf(text, "# Claim %s and its volume before they were adopted. Until the new claim is bound, this goes back:\n", name)
	fmt.Fprintf(text, "#   kubectl delete pvc %s --namespace %s --ignore-not-found\n#   kubectl create --filename %s\n", name.Name, name.Namespace, filepath.Base(f.Path(name)))
	text.WriteString("# After that the image has another name, and this file no longer helps.\n")
	if saved.Granted {
		fmt.Fprintln(text, grantLine)
	}
	for i, object := range []any{saved.PV, saved.Claim} {
		document, err := kubeyaml.Of(object)
		if err != nil {
			return err
		}
		if i > 0 {
			text.WriteString("---\n")
		}
		text.Write(document)
	}
	file, err := os.CreateTemp(f.Dir, name.Namespace+"."+name.Name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	_, err = file.Write(text.Bytes())
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	if err = os.Rename(file.Name(), f.Path(name)); err != nil {
		return err
	}
	// The file's name is to be as lasting as its bytes.
	directory, err := os.Open(f.Dir)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// remove is for a claim that is adopted.
func (f Files) remove(name types.NamespacedName) error {
	if err := os.Remove(f.Path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
