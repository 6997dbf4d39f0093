// A cloud of points in WebGL 2: one buffer, one draw call; panning and zooming change three numbers.

const VERTEX = `#version 300 es
layout(location = 0) in vec2 at;
layout(location = 1) in float size;
layout(location = 2) in vec4 colour;
uniform vec2 centre;
uniform vec2 scale;
uniform float grow;
out vec4 shade;
void main() {
  gl_Position = vec4((at - centre) * scale, 0.0, 1.0);
  gl_PointSize = size * grow;
  shade = colour;
}`
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 shade;
out vec4 result;
void main() {
  float far = length(gl_PointCoord - 0.5) * 2.0;
  float cover = 1.0 - smoothstep(0.75, 1.0, far);
  if (cover <= 0.0) discard;
  result = vec4(shade.rgb, shade.a * cover);
}`

export class Points {
  readonly count: number
  x = 0
  y = 0
  zoom = 1 // pixels a unit is multiplied by, over fitting the whole
  frames = 0 // drawn, for tests
  private gl: WebGL2RenderingContext
  private colours: WebGLBuffer
  private sizes: WebGLBuffer
  private places: { centre: WebGLUniformLocation; scale: WebGLUniformLocation; grow: WebGLUniformLocation }
  private wanted = 0
  private cells = new Map<number, number[]>() // for picking

  constructor(
    private canvas: HTMLCanvasElement,
    readonly xs: Float32Array,
    readonly ys: Float32Array,
    private drawn: () => void,
  ) {
    const gl = canvas.getContext('webgl2', { antialias: false, alpha: true, premultipliedAlpha: false, preserveDrawingBuffer: false })
    if (!gl) throw new Error('This browser has no WebGL 2, which draws the map.')
    this.gl = gl
    this.count = xs.length
    const program = gl.createProgram()!
    for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]] as const) {
      const shader = gl.createShader(type)!
      gl.shaderSource(shader, source)
      gl.compileShader(shader)
      gl.attachShader(program, shader)
    }
    gl.linkProgram(program)
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error('The map’s shaders do not link: ' + gl.getProgramInfoLog(program))
    gl.useProgram(program)
    const at = new Float32Array(2 * this.count)
    for (let i = 0; i < this.count; i++) {
      at[2 * i] = xs[i]
      at[2 * i + 1] = ys[i]
      const cell = this.cell(xs[i], ys[i])
      const list = this.cells.get(cell)
      if (list) list.push(i)
      else this.cells.set(cell, [i])
    }
    this.buffer(0, at, 2, gl.FLOAT, false)
    this.sizes = this.buffer(1, new Float32Array(this.count).fill(3), 1, gl.FLOAT, false)
    this.colours = this.buffer(2, new Uint8Array(4 * this.count).fill(128), 4, gl.UNSIGNED_BYTE, true)
    this.places = {
      centre: gl.getUniformLocation(program, 'centre')!,
      scale: gl.getUniformLocation(program, 'scale')!,
      grow: gl.getUniformLocation(program, 'grow')!,
    }
    gl.enable(gl.BLEND)
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA)
  }
  private buffer(at: number, data: Float32Array | Uint8Array, parts: number, type: number, normalised: boolean) {
    const gl = this.gl
    const buffer = gl.createBuffer()!
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer)
    gl.bufferData(gl.ARRAY_BUFFER, data, gl.DYNAMIC_DRAW)
    gl.enableVertexAttribArray(at)
    gl.vertexAttribPointer(at, parts, type, normalised, 0, 0)
    return buffer
  }
  private cell = (x: number, y: number) => Math.floor((x + 2) * 64) * 1024 + Math.floor((y + 2) * 64)

  paint(colours: Uint8Array, sizes: Float32Array) {
    const gl = this.gl
    gl.bindBuffer(gl.ARRAY_BUFFER, this.colours)
    gl.bufferData(gl.ARRAY_BUFFER, colours, gl.DYNAMIC_DRAW)
    gl.bindBuffer(gl.ARRAY_BUFFER, this.sizes)
    gl.bufferData(gl.ARRAY_BUFFER, sizes, gl.DYNAMIC_DRAW)
    this.redraw()
  }
  /** Pixels (of CSS) a unit of the map is long. */
  get unit() {
    return (Math.min(this.canvas.clientWidth, this.canvas.clientHeight) / 2.1) * this.zoom
  }
  toScreen(x: number, y: number): [number, number] {
    return [this.canvas.clientWidth / 2 + (x - this.x) * this.unit, this.canvas.clientHeight / 2 - (y - this.y) * this.unit]
  }
  toMap(px: number, py: number): [number, number] {
    return [this.x + (px - this.canvas.clientWidth / 2) / this.unit, this.y - (py - this.canvas.clientHeight / 2) / this.unit]
  }
  pan(dx: number, dy: number) {
    this.x -= dx / this.unit
    this.y += dy / this.unit
    this.redraw()
  }
  zoomAt(px: number, py: number, factor: number) {
    const [x, y] = this.toMap(px, py)
    this.zoom = Math.min(400, Math.max(0.5, this.zoom * factor))
    const [nx, ny] = this.toMap(px, py)
    this.x += x - nx
    this.y += y - ny
    this.redraw()
  }
  goTo(i: number, zoom = Math.max(this.zoom, 12)) {
    this.x = this.xs[i]
    this.y = this.ys[i]
    this.zoom = zoom
    this.redraw()
  }
  /** The point nearest to a place on the screen, within `reach` pixels; -1: none. */
  pick(px: number, py: number, reach = 12): number {
    const [x, y] = this.toMap(px, py)
    const far = reach / this.unit
    let best = -1
    let nearest = far * far
    for (let cx = Math.floor((x - far + 2) * 64); cx <= Math.floor((x + far + 2) * 64); cx++)
      for (let cy = Math.floor((y - far + 2) * 64); cy <= Math.floor((y + far + 2) * 64); cy++)
        for (const i of this.cells.get(cx * 1024 + cy) ?? []) {
          const d = (this.xs[i] - x) ** 2 + (this.ys[i] - y) ** 2
          if (d < nearest) {
            nearest = d
            best = i
          }
        }
    return best
  }
  /** Points inside a polygon of map coordinates. */
  inside(polygon: [number, number][]): number[] {
    const out: number[] = []
    for (let i = 0; i < this.count; i++) {
      let odd = false
      for (let a = 0, b = polygon.length - 1; a < polygon.length; b = a++) {
        const [ax, ay] = polygon[a]
        const [bx, by] = polygon[b]
        if (ay > this.ys[i] !== by > this.ys[i] && this.xs[i] < ((bx - ax) * (this.ys[i] - ay)) / (by - ay) + ax) odd = !odd
      }
      if (odd) out.push(i)
    }
    return out
  }
  redraw() {
    if (!this.wanted) this.wanted = requestAnimationFrame(() => this.draw())
  }
  private draw() {
    this.wanted = 0
    const gl = this.gl
    const ratio = devicePixelRatio || 1
    const w = Math.round(this.canvas.clientWidth * ratio)
    const h = Math.round(this.canvas.clientHeight * ratio)
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w
      this.canvas.height = h
    }
    gl.viewport(0, 0, w, h)
    gl.clearColor(0, 0, 0, 0)
    gl.clear(gl.COLOR_BUFFER_BIT)
    gl.uniform2f(this.places.centre, this.x, this.y)
    gl.uniform2f(this.places.scale, (2 * this.unit) / this.canvas.clientWidth, (2 * this.unit) / this.canvas.clientHeight)
    gl.uniform1f(this.places.grow, ratio * Math.min(4, Math.max(0.6, this.zoom ** 0.45)))
    gl.drawArrays(gl.POINTS, 0, this.count)
    this.frames++
    this.drawn()
  }
  free() {
    if (this.wanted) cancelAnimationFrame(this.wanted)
    this.gl.getExtension('WEBGL_lose_context')?.loseContext()
  }
}
