package access

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/kubernetes"

	"github.com/cephferry/cephferry/pkg/page"
)

// Self is the user of its client, by whatever the kubeconfig has: a token, a certificate, a
// plugin, an impersonation.
type Self struct {
	client kubernetes.Interface
	rights *cache.LRUExpireCache
}

var _ page.Viewer = (*Self)(nil)

// NewSelf returns the user of a client.
func NewSelf(client kubernetes.Interface) *Self {
	return &Self{client: client, rights: cache.NewLRUExpireCache(remembered)}
}

// MayList implements page.Viewer.
func (s *Self) MayList(ctx context.Context, resource, namespace string) (bool, error) {
	key := question{"", resource, namespace}
	if known, ok := s.rights.Get(key); ok {
		return known.(bool), nil
	}
	review, err := s.client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: listing(resource, namespace)},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("review what you may list: %w", err)
	}
	return remember(s.rights, key, review.Status), nil
}
