package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"

	"github.com/cephferry/cephferry/pkg/api/v1alpha1"
	"github.com/cephferry/cephferry/pkg/page"
)

// Header has the token where Authorization cannot: the API server takes that away from what
// it passes on to a Service.
const Header = "Cephferry-Authorization"

const (
	// knownFor is for how long a token's user is remembered, and what they may list. So much
	// later a token that is revoked, or a right that is taken, ends.
	knownFor = 30 * time.Second
	// refusedFor is the same for a token that is nobody's and a right that is not there. A
	// person who has just been given it waits.
	refusedFor = 5 * time.Second
	// remembered is how many answers are kept of each kind.
	remembered = 10_000
	// atOnce is how many reviews are made at a time. Anybody can send tokens, and must not
	// be able to have us overload the API server.
	atOnce = 16
)

// Reviews knows requesters by their bearer tokens, through TokenReview, and what they may
// list through SubjectAccessReview.
type Reviews struct {
	client kubernetes.Interface
	users  *cache.LRUExpireCache // by the hash of a token: *authenticationv1.UserInfo
	rights *cache.LRUExpireCache // by question: bool
	turns  chan struct{}
}

// NewReviews returns Reviews that ask through this client, which needs the right to create both reviews.
func NewReviews(client kubernetes.Interface) *Reviews {
	return &Reviews{
		client: client, turns: make(chan struct{}, atOnce),
		users: cache.NewLRUExpireCache(remembered), rights: cache.NewLRUExpireCache(remembered),
	}
}

// Identify implements what a page.Page needs.
func (r *Reviews) Identify(request *http.Request) (page.Viewer, error) {
	token := bearer(request.Header)
	if token == "" {
		return nil, fmt.Errorf("%w: send a bearer token of this cluster in %s or Authorization", page.ErrUnauthenticated, Header)
	}
	key := sha256.Sum256([]byte(token))
	if known, ok := r.users.Get(key); ok {
		return r.viewer(known.(*authenticationv1.UserInfo))
	}
	release, err := r.turn(request.Context())
	if err != nil {
		return nil, err
	}
	defer release()
	review, err := r.client.AuthenticationV1().TokenReviews().Create(request.Context(),
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("review a token: %w", err)
	}
	if !review.Status.Authenticated {
		r.users.Add(key, (*authenticationv1.UserInfo)(nil), refusedFor)
		return r.viewer(nil)
	}
	r.users.Add(key, &review.Status.User, knownFor)
	return r.viewer(&review.Status.User)
}

// bearer is the token of a request. That of Header is the requester's where both are there:
// a proxy between may have one of its own.
func bearer(header http.Header) string {
	for _, name := range []string{Header, "Authorization"} {
		if scheme, token, ok := strings.Cut(header.Get(name), " "); ok && strings.EqualFold(scheme, "Bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

func (r *Reviews) viewer(user *authenticationv1.UserInfo) (page.Viewer, error) {
	if user == nil {
		return nil, fmt.Errorf("%w: this cluster does not accept the token", page.ErrUnauthenticated)
	}
	return &viewer{r, user}, nil
}

// turn waits until fewer than atOnce reviews are made.
func (r *Reviews) turn(ctx context.Context) (release func(), err error) {
	select {
	case r.turns <- struct{}{}:
		return func() { <-r.turns }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to ask the API server: %w", ctx.Err())
	}
}

// viewer is a user of this cluster.
type viewer struct {
	*Reviews
	user *authenticationv1.UserInfo
}

// question is what a right is remembered by. Two users of one name may have different groups,
// and what they have besides.
type question struct{ who, resource, namespace string }

// MayList implements page.Viewer.
func (v *viewer) MayList(ctx context.Context, resource, namespace string) (bool, error) {
	key := question{fmt.Sprintf("%q", []any{v.user.UID, v.user.Username, v.user.Groups, v.user.Extra}), resource, namespace}
	if known, ok := v.rights.Get(key); ok {
		return known.(bool), nil
	}
	release, err := v.turn(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	extra := map[string]authorizationv1.ExtraValue{}
	for name, values := range v.user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	review, err := v.client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: v.user.Username, Groups: v.user.Groups, UID: v.user.UID, Extra: extra,
			ResourceAttributes: listing(resource, namespace),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review what %q may list: %w", v.user.Username, err)
	}
	return remember(v.rights, key, review.Status), nil
}

func listing(resource, namespace string) *authorizationv1.ResourceAttributes {
	return &authorizationv1.ResourceAttributes{
		Verb: "list", Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: resource, Namespace: namespace,
	}
}

// remember keeps an answer. One that came with an evaluation error is a refusal like any
// other: a RoleBinding whose Role is gone makes one for each user.
func remember(rights *cache.LRUExpireCache, key any, status authorizationv1.SubjectAccessReviewStatus) bool {
	ttl := refusedFor
	if status.Allowed {
		ttl = knownFor
	}
	rights.Add(key, status.Allowed, ttl)
	return status.Allowed
}
