#version 450
// Rotary embedding, half-split layout, in place. cos and sin come from the host, which makes them as the CPU does.
layout(local_size_x = 64) in;
layout(binding = 0) buffer X { float x[]; };
layout(binding = 1) readonly buffer Table { float table[]; };  // (tokens, head_dim): cosines, then sines
layout(push_constant) uniform Push { uint tokens, heads, head_dim; };

void main() {
  const uint half_dim = head_dim / 2u;
  const uint i = gl_GlobalInvocationID.x;
  if (i >= tokens * heads * half_dim) return;
  const uint d = i % half_dim, head = (i / half_dim) % heads, token = i / (half_dim * heads);
  const uint at = (token * heads + head) * head_dim + d;
  const float c = table[token * head_dim + d], s = table[token * head_dim + half_dim + d];
  const float a = x[at], b = x[at + half_dim];
  x[at] = a * c - b * s;
  x[at + half_dim] = b * c + a * s;
}
