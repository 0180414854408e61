package activities

import (
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

// tooLarge is how many bytes of a payload Temporal may refuse: its limit is 2 MiB (limit.blobSize.error), for all arguments
// of a call together.
const tooLarge = 3 << 19

// DataConverter returns the SDK's default data converter, which also compresses what is too large for Temporal. JSON makes
// up to six bytes of one, so a message of half a megabyte may be such: of "<", or of control characters. The client that
// starts and signals workflows, and the workers, need it; any other payload is as everybody's.
func DataConverter() converter.DataConverter {
	return converter.NewCodecDataConverter(converter.GetDefaultDataConverter(),
		largeOnly{converter.NewZlibCodec(converter.ZlibCodecOptions{})})
}

// largeOnly leaves payloads as they are that Temporal takes.
type largeOnly struct{ converter.PayloadCodec }

// Encode implements [converter.PayloadCodec].
func (c largeOnly) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	encoded := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		encoded[i] = p
		if p.Size() < tooLarge {
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
