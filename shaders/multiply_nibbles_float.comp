#version 450
// y = Ŵ x on float activations with weights packed as in multiply_quantized.glsl (16-bit activations: the quantizer is off).
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Weight { uint weight[]; };
layout(binding = 1) readonly buffer WeightScales { float weight_scales[]; };
layout(binding = 2) readonly buffer X { float x[]; };
layout(binding = 3) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint rows, row_words, columns, tokens, group_size, groups; };
shared float partial[64 * 8];

void main() {
  const uint lane = gl_LocalInvocationID.x & 15u, slot = gl_LocalInvocationID.x >> 4;
  const uint row = gl_WorkGroupID.x * 4u + slot;
  const uint first_token = gl_WorkGroupID.y * 8u;
  const uint count = min(8u, tokens - first_token);
  float sum[8] = float[8](0, 0, 0, 0, 0, 0, 0, 0);
  if (row < rows) {
    for (uint w = lane; w < row_words; w += 16u) {
      const uint packed = weight[row * row_words + w];
      for (uint e = 0u; e < 8u; ++e) {
        const uint column = 8u * w + e;
        if (column >= columns) break;
        const uint nibble = e < 4u ? (packed >> (8u * e)) & 15u : (packed >> (8u * (e - 4u) + 4u)) & 15u;
        const float value = float(int(nibble) - 8) * weight_scales[row * groups + column / group_size];
        for (uint t = 0u; t < count; ++t) sum[t] += value * x[(first_token + t) * columns + column];
      }
    }
  }
  for (uint t = 0u; t < 8u; ++t) partial[t * 64u + gl_LocalInvocationID.x] = sum[t];
  barrier();
  if (gl_LocalInvocationID.x < 32u) {
    const uint t = gl_LocalInvocationID.x >> 2, r = gl_LocalInvocationID.x & 3u;
    const uint out_row = gl_WorkGroupID.x * 4u + r;
    if (t < count && out_row < rows) {
      float total = 0.0;
      for (uint l = 0u; l < 16u; ++l) total += partial[t * 64u + r * 16u + l];
      y[(first_token + t) * rows + out_row] = total;
    }
  }
}
