package main

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/cephferry/cephferry/pkg/guard"
	"github.com/cephferry/cephferry/pkg/provisioner"
)

// growth is the endpoint for claims whose request rises. Whoever raises it sees the answer,
// so a refusal is noted at no object.
func growth(claims *provisioner.Claims, decoder admission.Decoder) guard.Endpoint {
	return func(ctx context.Context, request admission.Request) (guard.Answer, client.Object) {
		var before, claim corev1.PersistentVolumeClaim
		if err := errors.Join(decoder.DecodeRaw(request.OldObject, &before), decoder.Decode(request, &claim)); err != nil {
			return guard.Answer{Result: guard.Unknown, Reason: guard.Malformed, Message: fmt.Sprintf("read the admission review: %v", err)}, nil
		}
		claim.Namespace = request.Namespace
		may := claims.MayRise(ctx, &before, &claim)
		answer := guard.Answer{Result: guard.Denied, Reason: guard.Reason(may.Reason), Message: may.Message, Warnings: may.Warnings}
		switch {
		case may.Allowed:
			answer.Result = guard.Allowed
		case may.Unknown:
			answer.Result = guard.Unknown
		}
		return answer, nil
	}
}
