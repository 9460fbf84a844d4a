#version 450
// y (tokens, out) = or += x (tokens, in) Wᵀ for float32 or float16 weights. 4 rows a workgroup, 16 lanes a row, up to 8 tokens at
// once, so that a weight is read once for 8 tokens.
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint HALF = 0;
layout(binding = 0) readonly buffer Weight { uint weight[]; };
layout(binding = 1) readonly buffer X { float x[]; };
layout(binding = 2) buffer Y { float y[]; };
// row_words: words from one row of the weight to the next; y_columns: width of y; first_row: where this part's rows stand in y.
layout(push_constant) uniform Push { uint rows, columns, row_words, tokens, x_begin, x_stride, y_columns, first_row, accumulate; };
shared float partial[64 * 8];

void main() {
  const uint lane = gl_LocalInvocationID.x & 15u, slot = gl_LocalInvocationID.x >> 4;
  const uint row = gl_WorkGroupID.x * 4u + slot;
  const uint first_token = gl_WorkGroupID.y * 8u;
  const uint count = min(8u, tokens - first_token);
  float sum[8] = float[8](0, 0, 0, 0, 0, 0, 0, 0);
  if (row < rows) {
    const uint words = (HALF == 1u) ? (columns + 1u) / 2u : columns;
    for (uint w = lane; w < words; w += 16u) {
      const uint word = weight[row * row_words + w];
      if (HALF == 1u) {
        const vec2 pair = unpackHalf2x16(word);
        const bool second = 2u * w + 1u < columns;
        for (uint t = 0u; t < count; ++t) {
          const uint at = x_begin + (first_token + t) * x_stride + 2u * w;
          sum[t] += pair.x * x[at];
          if (second) sum[t] += pair.y * x[at + 1u];
        }
      } else {
        const float value = uintBitsToFloat(word);
        for (uint t = 0u; t < count; ++t) sum[t] += value * x[x_begin + (first_token + t) * x_stride + w];
      }
    }
  }
  for (uint t = 0u; t < 8u; ++t) partial[t * 64u + gl_LocalInvocationID.x] = sum[t];
  barrier();
  // 32 results (4 rows, 8 tokens): one lane each adds its 16 parts in order.
  if (gl_LocalInvocationID.x < 32u) {
    const uint t = gl_LocalInvocationID.x >> 2, r = gl_LocalInvocationID.x & 3u;
    const uint out_row = gl_WorkGroupID.x * 4u + r;
    if (t < count && out_row < rows) {
      float total = 0.0;
      for (uint l = 0u; l < 16u; ++l) total += partial[t * 64u + r * 16u + l];
      const uint at = (first_token + t) * y_columns + first_row + out_row;
      y[at] = accumulate == 1u ? y[at] + total : total;
    }
  }
}
