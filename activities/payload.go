package activities

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// compressFrom is the size in bytes from which payloads are compressed: Temporal's limit is 2 MiB (limit.blobSize.error), for
// all arguments of a call together.
const compressFrom = 3 << 19

// DataConverter returns the SDK's default data converter, extended to compress payloads that may be too large for Temporal.
// JSON escapes one byte, such as "<" or a control character, by up to six, so half a megabyte of text may be too large. The
// client that starts and signals workflows, and the workers, need it; smaller payloads are encoded as usual.
func DataConverter() converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(),
		largeOnly{converter.NewZlibCodec(converter.ZlibCodecOptions{})})
}

// largeOnly does not change payloads that Temporal accepts.
type largeOnly struct{ converter.PayloadCodec }

// Encode implements [converter.PayloadCodec].
func (c largeOnly) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	encoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		encoded[i] = p
		if p.Size() < compressFrom {
			continue
		}
		one, err := c.PayloadCodec.Encode([]*commonpb.Payload{p})
		if err != nil {
			return nil, err
		}
		encoded[i] = one[0]
	}
	return encoded, nil
}
