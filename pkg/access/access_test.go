package access

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/cephferry/cephferry/pkg/page"
)

// server is an API server that knows one token, and lets its user list what is in rights.
type server struct {
	*fake.Clientset
	rights  []string // resource in namespace
	failure error
	// asked are the questions it was asked.
	asked []string
}

var alice = authenticationv1.UserInfo{
	Username: "alice@example.com", UID: "42", Groups: []string{"team-shop", "system:authenticated"},
	Extra: map[string]authenticationv1.ExtraValue{"scopes": {"a", "b"}},
}

func newServer(rights ...string) *server {
	s := &server{Clientset: fake.NewClientset(), rights: rights}
	s.PrependReactor("create", "tokenreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		s.asked = append(s.asked, "token "+review.Spec.Token)
		if review.Spec.Token == "alice's" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: alice}
		}
		return true, review, s.failure
	})
	answer := func(who string, about *authorizationv1.ResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
		what := fmt.Sprintf("%s in %q", about.Resource, about.Namespace)
		s.asked = append(s.asked, fmt.Sprintf("%s to %s %s.%s", who, about.Verb, what, about.Group))
		return authorizationv1.SubjectAccessReviewStatus{Allowed: slices.Contains(s.rights, what), EvaluationError: "a Role is gone"}
	}
	s.PrependReactor("create", "subjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		who := fmt.Sprint(review.Spec.User, review.Spec.UID, review.Spec.Groups, review.Spec.Extra)
		review.Status = answer(who, review.Spec.ResourceAttributes)
		return true, review, s.failure
	})
	s.PrependReactor("create", "selfsubjectaccessreviews", func(action clienttesting.Action) (bool, runtime.Object, error) {
		review := action.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview).DeepCopy()
		review.Status = answer("self", review.Spec.ResourceAttributes)
		return true, review, s.failure
	})
	return s
}

func request(t *testing.T, header ...string) *http.Request {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestWhoAsks(t *testing.T) {
	for name, test := range map[string]struct {
		header []string
		asked  []string
		says   string
	}{
		"a token":                       {[]string{"Authorization", "Bearer alice's"}, []string{"token alice's"}, ""},
		"one that a proxy passed on":    {[]string{Header, "Bearer alice's"}, []string{"token alice's"}, ""},
		"a proxy's own besides":         {[]string{Header, "bearer alice's", "Authorization", "Bearer proxy's"}, []string{"token alice's"}, ""},
		"one that is nobody's":          {[]string{"Authorization", "Bearer mallory's"}, []string{"token mallory's"}, "does not accept the token"},
		"none":                          {nil, nil, "send a bearer token"},
		"an empty one":                  {[]string{"Authorization", "Bearer "}, nil, "send a bearer token"},
		"a name and a password":         {[]string{"Authorization", "Basic YTpi"}, nil, "send a bearer token"},
		"a name that a proxy would set": {[]string{"X-Remote-User", "alice@example.com", "Impersonate-User", "alice@example.com"}, nil, "send a bearer token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer()
			_, err := NewReviews(s).Identify(request(t, test.header...))
			if diff := cmp.Diff(test.asked, s.asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			switch {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && (!errors.Is(err, page.ErrUnauthenticated) || !strings.Contains(err.Error(), test.says)):
				t.Errorf("%v, want that it says %q", err, test.says)
			}
		})
	}
}

func TestAnOutageIsNoRefusal(t *testing.T) {
	s := newServer()
	s.failure = errors.New("etcd is full")
	reviews := NewReviews(s)
	if _, err := reviews.Identify(request(t, "Authorization", "Bearer alice's")); err == nil || errors.Is(err, page.ErrUnauthenticated) {
		t.Errorf("who asks: %v", err)
	}
	s.failure = nil
	viewer, err := reviews.Identify(request(t, "Authorization", "Bearer alice's"))
	if err != nil {
		t.Fatalf("the outage is remembered: %v", err)
	}
	s.failure = errors.New("etcd is full")
	for name, v := range map[string]page.Viewer{"of a token": viewer, "of a kubeconfig": NewSelf(s)} {
		if may, err := v.MayList(t.Context(), page.Volumes, "shop"); err == nil || may {
			t.Errorf("a right %s: %t, %v", name, may, err)
		}
	}
	s.failure, s.rights = nil, []string{`migratablevolumes in "shop"`}
	if may, err := viewer.MayList(t.Context(), page.Volumes, "shop"); err != nil || !may {
		t.Errorf("the outage is remembered: %t, %v", may, err)
	}
}

func TestRights(t *testing.T) {
	s := newServer(`migratablevolumes in "shop"`, `ferryclusters in ""`)
	viewer, err := NewReviews(s).Identify(request(t, "Authorization", "Bearer alice's"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []page.Viewer{viewer, NewSelf(s)} {
		for _, c := range []struct {
			resource, namespace string
			want                bool
		}{{page.Volumes, "shop", true}, {page.Volumes, "mail", false}, {page.Volumes, "", false}, {page.Clusters, "", true}, {page.Takeovers, "", false}} {
			for range 3 {
				may, err := v.MayList(t.Context(), c.resource, c.namespace)
				if err != nil || may != c.want {
					t.Errorf("%T may list %s in %q: %t, %v", v, c.resource, c.namespace, may, err)
				}
			}
		}
	}
	who := fmt.Sprint(alice.Username, alice.UID, alice.Groups, alice.Extra)
	// Each question once.
	want := []string{"token alice's"}
	for _, name := range []string{who, "self"} {
		for _, what := range []string{`migratablevolumes in "shop"`, `migratablevolumes in "mail"`, `migratablevolumes in ""`, `ferryclusters in ""`, `takeovers in ""`} {
			want = append(want, name+" to list "+what+".cephferry.io")
		}
	}
	if diff := cmp.Diff(want, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

func TestWhoHasOtherGroupsHasOtherRights(t *testing.T) {
	s := newServer(`migratablevolumes in "shop"`)
	reviews := NewReviews(s)
	first, other := &viewer{reviews, &alice}, alice
	other.Groups = []string{"team-mail"}
	if may, err := first.MayList(t.Context(), page.Volumes, "shop"); err != nil || !may {
		t.Fatal(may, err)
	}
	s.rights = nil
	if may, err := (&viewer{reviews, &other}).MayList(t.Context(), page.Volumes, "shop"); err != nil || may {
		t.Errorf("one of the same name with other groups may list: %t, %v", may, err)
	}
}
