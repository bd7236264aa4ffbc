package provisioner

import (
	"context"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/cephferry/cephferry/pkg/ceph"
	"github.com/cephferry/cephferry/pkg/connect"
	"github.com/cephferry/cephferry/pkg/csiconfig"
	"github.com/cephferry/cephferry/pkg/provision"
)

// failure is why a claim has no volume, or its volume does not grow.
type failure struct {
	kind kind
	text string
}

// kind says what has to happen.
type kind string

const (
	// invalid: a person has to change something in this cluster or in Ceph.
	invalid kind = "refused"
	// held: another cluster has the image, or somebody uses one that is adopted. It is asked again in a moment.
	held kind = "held"
	// waiting: something here is about to be done.
	waiting kind = "waiting"
	// filesystem: the image has grown, or will when it is free, and the filesystem in
	// it follows.
	filesystem kind = "filesystem"
	// outage: Ceph or the API server do not answer. It is tried again.
	outage kind = "outage"
)

func (f failure) Error() string { return f.text }

// after is when to try again; zero leaves it to the queue's backoff.
func (f failure) after() time.Duration {
	switch f.kind {
	case held, waiting:
		return retryHeld
	case invalid, filesystem:
		return retryInvalid
	default:
		return 0
	}
}

const (
	// retryHeld is how soon a claim that has to wait is tried again. Those in waiters are looked at sooner.
	retryHeld = 3 * time.Second
	// retryConflict is for a claim that somebody else has changed just now.
	retryConflict = 200 * time.Millisecond
	// retryInvalid is for what no watch tells: a pool was made, a right was given.
	retryInvalid = 30 * time.Second
	// maxBackoff bounds the pause between two tries during an outage.
	maxBackoff = 15 * time.Second
)

// mistakes makes one failure of all of a claim's mistakes.
func mistakes(errs field.ErrorList) error { return failure{invalid, text(errs)} }

func text(errs field.ErrorList) string {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}

// permanent are the errors that time does not heal.
var permanent = []error{
	provision.ErrBelow, provision.ErrSmaller, provision.ErrMode, provision.ErrNoLock, provision.ErrKeyed, provision.ErrNoKey, provision.ErrTwo, provision.ErrCannotStage,
	csiconfig.ErrNotFound, csiconfig.ErrAmbiguous, csiconfig.ErrTopology, csiconfig.ErrMapped, connect.ErrInstallation,
	ceph.ErrAuth, ceph.ErrKeyType, ceph.ErrSettings, ceph.ErrBlocklisted, ceph.ErrPermission,
	ceph.ErrPoolNotFound, ceph.ErrNamespaceNotFound, ceph.ErrPoolFull, ceph.ErrLayout,
	ceph.ErrImageNotFound, ceph.ErrImageLocked, ceph.ErrRecordUnknown,
	ceph.ErrFilesystemNotFound, ceph.ErrSubvolumeNotFound,
}

// explain says what an error of Ceph, of the API server or of ceph-csi's
// configuration means to a claim. What is not known to be permanent is an outage.
func explain(err error) failure {
	var known failure
	if errors.As(err, &known) {
		return known
	}
	for _, target := range permanent {
		if errors.Is(err, target) {
			f := failure{invalid, err.Error()}
			if advice := ceph.Advice(err); advice != "" {
				f.text += "; " + advice
			}
			return f
		}
	}
	switch {
	case errors.Is(err, provision.ErrInUse):
		return failure{held, err.Error()}
	case errors.Is(err, ceph.ErrUnreachable), errors.Is(err, context.DeadlineExceeded):
		return failure{outage, err.Error() + "; it is tried again until Ceph answers"}
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		return failure{invalid, err.Error()}
	}
	return failure{outage, err.Error()}
}

// explainSecret is explain for reading a class's secret: the account may read the
// secrets that the chart names.
func explainSecret(err error) failure {
	f := explain(err)
	var status apierrors.APIStatus
	if apierrors.IsForbidden(err) && errors.As(err, &status) && status.Status().Details != nil && status.Status().Details.Kind == "secrets" {
		f.text += "; add the secret to the value provisioner.secrets of the chart cephferry (if that is empty, with the secrets of Rook's usual names, which it stands for then), or set ceph.findSecrets"
	}
	return f
}

// explainCreate is explain for creating a PersistentVolume: what the guard refuses
// is said in its words.
func explainCreate(err error) failure {
	if _, answer, ok := strings.Cut(err.Error(), "denied the request:"); ok {
		answer = strings.TrimSpace(answer)
		if apierrors.IsForbidden(err) {
			return failure{held, answer}
		}
		return failure{outage, answer}
	}
	return explain(err)
}
