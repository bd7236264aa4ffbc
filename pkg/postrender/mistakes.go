package postrender

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// Mistakes are the reasons why a run changed no manifest, at least one.
type Mistakes []Mistake

// Mistake is one reason.
type Mistake struct {
	// Object is the kind and name of the object, such as
	// "PersistentVolumeClaim shop/data".
	Object string
	Err    error
}

// Error is one line for one mistake, and a list for several. An error of Ceph is
// followed by what to do about it.
func (m Mistakes) Error() string {
	var lines []string
	for _, mistake := range m {
		line := mistake.Object + ": " + mistake.Err.Error()
		if advice := ceph.Advice(mistake.Err); advice != "" {
			line += "; " + advice
		}
		lines = append(lines, line)
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d mistakes:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// Unwrap makes the causes visible to errors.Is.
func (m Mistakes) Unwrap() []error {
	var errs []error
	for _, mistake := range m {
		errs = append(errs, mistake.Err)
	}
	return errs
}

func (m *Mistakes) add(object string, errs ...*field.Error) {
	for _, err := range errs {
		*m = append(*m, Mistake{object, err})
	}
}

func (m *Mistakes) addAll(object string, errs []error) {
	for _, err := range errs {
		*m = append(*m, Mistake{object, err})
	}
}

// err returns m as an error, nil when it is empty.
func (m Mistakes) err() error {
	if len(m) == 0 {
		return nil
	}
	return m
}

// ErrUTF16 means that the input is not UTF-8.
var ErrUTF16 = errors.New("read manifests: the input is UTF-16; it must be UTF-8")
