package main

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/cephferry/cephferry/pkg/guard"
)

// TestCheck: a figure is that of the answer which its row names, and of no other. That nothing
// is known is a refusal too, and another one.
func TestCheck(t *testing.T) {
	answer := func(allowed bool, code int32, message string) *admissionv1.AdmissionResponse {
		return &admissionv1.AdmissionResponse{Allowed: allowed, Result: &metav1.Status{Code: code, Message: message}}
	}
	const inUse, unknown = "volume shop/data is in use by another cluster", "cannot know whether volume shop/data is in use by another cluster: context deadline exceeded"
	allowed, refused := review{}.allowed(guard.NoWatcher), review{}.refused()
	for name, test := range map[string]struct {
		review review
		answer *admissionv1.AdmissionResponse
		want   string
	}{
		"allowed, as wanted":               {allowed, answer(true, 200, string(guard.NoWatcher)), ""},
		"allowed for another reason":       {allowed, answer(true, 200, string(guard.NothingGuarded)), "wrong answer"},
		"refused, as wanted":               {refused, answer(false, 403, inUse), ""},
		"nothing known, instead of a no":   {refused, answer(false, 500, unknown), "wrong answer"},
		"nothing known, instead of a yes":  {allowed, answer(false, 500, unknown), "wrong answer"},
		"allowed, and it is to be refused": {refused, answer(true, 200, string(guard.NoWatcher)), "wrong answer"},
		"no answer":                        {refused, nil, "has no status"},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(admissionv1.AdmissionReview{Response: test.answer})
			if err != nil {
				t.Fatal(err)
			}
			err = test.review.check(body)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v; want %q", err, test.want)
			}
		})
	}
}
