#version 450
#extension GL_EXT_shader_8bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int8 : require
// The general path: weights as one int8 code each, any group sizes on either side. For 5 to 8 bits, and for shapes that the packed
// kernel does not take. With FLOAT_INPUT the activations are float32 (16-bit activations: the quantizer is off).
layout(local_size_x = 64) in;
layout(constant_id = 0) const uint FLOAT_INPUT = 0;
layout(binding = 0) readonly buffer Weight { int8_t weight[]; };
layout(binding = 1) readonly buffer WeightScales { float weight_scales[]; };
layout(binding = 2) readonly buffer Codes { int8_t codes[]; };
layout(binding = 3) readonly buffer Scales { float scales[]; };  // scales of the activations, or the float activations themselves
layout(binding = 4) writeonly buffer Y { float y[]; };
layout(push_constant) uniform Push { uint rows, columns, tokens, sub_size, weight_group, activation_group, weight_groups, activation_groups; };
shared float partial[64 * 8];

void main() {
  const uint lane = gl_LocalInvocationID.x & 15u, slot = gl_LocalInvocationID.x >> 4;
  const uint row = gl_WorkGroupID.x * 4u + slot;
  const uint first_token = gl_WorkGroupID.y * 8u;
  const uint count = min(8u, tokens - first_token);
  float sum[8] = float[8](0, 0, 0, 0, 0, 0, 0, 0);
  if (row < rows) {
    const uint subs = columns / sub_size;
    if (FLOAT_INPUT == 1u) {
      for (uint c = lane; c < columns; c += 16u) {
        const float value = float(int(weight[row * columns + c])) * weight_scales[row * weight_groups + c / weight_group];
        for (uint t = 0u; t < count; ++t) sum[t] += value * scales[(first_token + t) * columns + c];
      }
    } else {
      for (uint s = 0u; s < subs; ++s) {
        int dots[8] = int[8](0, 0, 0, 0, 0, 0, 0, 0);
        for (uint c = s * sub_size + lane; c < (s + 1u) * sub_size; c += 16u) {
          const int value = int(weight[row * columns + c]);
          for (uint t = 0u; t < count; ++t) dots[t] += value * int(codes[(first_token + t) * columns + c]);
        }
        const float weight_scale = weight_scales[row * weight_groups + s * sub_size / weight_group];
        for (uint t = 0u; t < count; ++t)
          sum[t] += float(dots[t]) * (weight_scale * scales[(first_token + t) * activation_groups + s * sub_size / activation_group]);
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
