#version 450
#extension GL_GOOGLE_include_directive : require
// Causal attention of one token and one head a workgroup, softmax carried along over tiles of 64 keys.
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) readonly buffer Keys { float keys[]; };
layout(binding = 2) readonly buffer Values { float values[]; };
layout(binding = 3) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push { uint heads, kv_heads, head_dim, first_position, window; float factor; };
#include "reduce.glsl"
shared float weights[64];

void main() {
  const uint lane = gl_LocalInvocationID.x, head = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
  const uint kv_head = head / (heads / kv_heads), kv_width = kv_heads * head_dim;
  const uint q_begin = (token * heads + head) * head_dim;
  const uint last = first_position + token;
  const uint first = window > 0u && last + 1u > window ? last + 1u - window : 0u;
  float maximum = -3.0e38, total = 0.0;
  float sum[4] = float[4](0, 0, 0, 0);  // head_dim at most 256
  for (uint tile = first; tile <= last; tile += 64u) {
    const uint position = tile + lane;
    float score = -3.0e38;
    if (position <= last) {
      score = 0.0;
      for (uint d = 0u; d < head_dim; ++d) score += q[q_begin + d] * keys[position * kv_width + kv_head * head_dim + d];
      score *= factor;
    }
    const float new_maximum = max(maximum, workgroup_max(score));
    const float weight = position <= last ? exp(score - new_maximum) : 0.0;
    weights[lane] = weight;
    const float scale_old = exp(maximum - new_maximum);
    total = total * scale_old + workgroup_sum(weight);
    const uint count = min(64u, last + 1u - tile);
    for (uint part = 0u; part < 4u; ++part) {
      const uint d = part * 64u + lane;
      if (d < head_dim) {
        float add = 0.0;
        for (uint k = 0u; k < count; ++k) add += weights[k] * values[(tile + k) * kv_width + kv_head * head_dim + d];
        sum[part] = sum[part] * scale_old + add;
      }
    }
    maximum = new_maximum;
    barrier();
  }
  for (uint part = 0u; part < 4u; ++part) {
    const uint d = part * 64u + lane;
    if (d < head_dim) result[q_begin + d] = sum[part] / total;
  }
}
