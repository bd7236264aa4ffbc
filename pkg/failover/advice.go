package failover

import (
	"fmt"

	"github.com/cephferry/cephferry/pkg/ceph"
)

// WithAdvice adds the next step to an error of Ceph, as a [*Refusal] has it.
func WithAdvice(err error) error {
	if advice := ceph.Advice(err); advice != "" {
		return fmt.Errorf("%v\n  do this   %s", err, advice) //nolint:errorlint // who asks it for advice again would say it twice
	}
	return err
}
