package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// TestCheck: only a refusal by the webhook itself is proof of it.
func TestCheck(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	denied := apierrors.NewForbidden(pods, "cephferry-check", errors.New(`admission webhook "pod.guard.cephferry.io" denied the request: the pod names its node`))
	silent := apierrors.NewInternalError(errors.New(`failed calling webhook "pod.guard.cephferry.io": failed to call webhook: connection refused`))
	for name, test := range map[string]struct {
		answers []error
		said    string
		want    string
		code    int
	}{
		"the webhook refuses":                   {answers: []error{denied}, said: "the pod names its node"},
		"it comes up, and refuses":              {answers: []error{silent, silent, denied}, said: "the pod names its node"},
		"it allows":                             {answers: []error{nil}, want: "was admitted in namespace shop: the API server does not ask the webhook", code: exitFailed},
		"it comes up, and allows":               {answers: []error{silent, nil}, want: "was admitted in namespace shop", code: exitFailed},
		"it never answers":                      {answers: []error{silent, silent, silent}, want: "it does not answer: Internal error occurred: failed calling webhook", code: exitFailed},
		"another webhook refuses":               {answers: []error{apierrors.NewForbidden(pods, "p", errors.New(`admission webhook "other.example.com" denied the request: no`))}, want: "does not get as far as asking the webhook", code: exitUnknown},
		"another of ours refuses":               {answers: []error{apierrors.NewForbidden(pods, "p", errors.New(`admission webhook "binding.guard.cephferry.io" denied the request: no`))}, want: "does not get as far as asking the webhook", code: exitUnknown},
		"another webhook does not answer":       {answers: []error{apierrors.NewInternalError(errors.New(`failed calling webhook "other.example.com": no`))}, want: "does not get as far as asking the webhook", code: exitUnknown},
		"pod security refuses":                  {answers: []error{apierrors.NewForbidden(pods, "p", errors.New(`violates PodSecurity "restricted:latest"`))}, want: "does not get as far as asking the webhook", code: exitUnknown},
		"who asks may not create pods":          {answers: []error{apierrors.NewForbidden(pods, "", errors.New(`User "x" cannot create resource "pods"`))}, want: "does not get as far as asking the webhook", code: exitUnknown},
		"there is no such namespace":            {answers: []error{apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop")}, want: `namespaces "shop" not found`, code: exitUnknown},
		"the API server itself does not answer": {answers: []error{errors.New("connection refused")}, want: "connection refused", code: exitUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			asked, rounds := 0, len(test.answers)
			api := shows(t, interceptor.Funcs{Create: func(_ context.Context, _ client.WithWatch, object client.Object, options ...client.CreateOption) error {
				pod, ok := object.(*corev1.Pod)
				if !ok || !slices.Contains(options, client.CreateOption(client.DryRunAll)) || pod.Namespace != "shop" || pod.Spec.NodeName == "" {
					t.Errorf("it creates %v with %v", object, options)
				}
				asked++
				return test.answers[asked-1]
			}})
			said, err := askForRefusal(t.Context(), api, "shop", func(context.Context) error {
				if asked == rounds {
					return context.DeadlineExceeded
				}
				return nil
			})
			if said != test.said || exitCode(err) != test.code || asked != rounds || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("asked %d times, it says %q, %v", asked, said, err)
			}
		})
	}
}
