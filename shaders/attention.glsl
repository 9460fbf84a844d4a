// Causal attention of one token and one head a workgroup, softmax carried along over tiles of 64 keys. Whoever includes this
// defines key_at and value_at (position, key-value head, dimension).
layout(local_size_x = 64) in;
layout(binding = 0) readonly buffer Q { float q[]; };
layout(binding = 1) writeonly buffer Out { float result[]; };
layout(push_constant) uniform Push {
  uint heads, kv_heads, head_dim, first_position, window;
  float factor;
  uint capacity, code_bytes, groups, group;
};
#include "reduce.glsl"
shared float weights[64];

float key_at(uint position, uint kv_head, uint d);
float value_at(uint position, uint kv_head, uint d);

void main() {
  const uint lane = gl_LocalInvocationID.x, head = gl_WorkGroupID.x, token = gl_WorkGroupID.y;
  const uint kv_head = head / (heads / kv_heads);
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
      for (uint d = 0u; d < head_dim; ++d) score += q[q_begin + d] * key_at(position, kv_head, d);
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
        for (uint k = 0u; k < count; ++k) add += weights[k] * value_at(tile + k, kv_head, d);
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
