package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cephferry/cephferry/pkg/storageclass"
)

// ErrInstallation means that a volume is of a ceph-csi whose configuration is not read. Its
// clusterID may lead to another Ceph than the same clusterID elsewhere.
var ErrInstallation = errors.New("the configuration of that ceph-csi is not read")

// Installations are the installations of ceph-csi whose configuration is read.
type Installations struct {
	// Namespaces are those of the configuration.
	Namespaces []string
	// Exists reports whether there is a namespace of that name.
	Exists func(ctx context.Context, namespace string) (bool, error)
}

// Check returns ErrInstallation if the driver is one of another installation: its name begins with
// the operator's namespace, and its configuration is there. A prefix that is no namespace is only a
// name.
func (i Installations) Check(ctx context.Context, driver string) error {
	operator := storageclass.Operator(driver)
	if operator == "" || slices.Contains(i.Namespaces, operator) {
		return nil
	}
	switch exists, err := i.Exists(ctx, operator); {
	case err != nil:
		return fmt.Errorf("read Namespace %s: %w", operator, err)
	case exists:
		return fmt.Errorf("driver %s: %w: it is in namespace %s; add that to the chart's value ceph.configNamespaces", driver, ErrInstallation, operator)
	}
	return nil
}
