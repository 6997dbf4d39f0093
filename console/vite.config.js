import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// Flat names under /console/, because the server's routes capture one segment; every name but index.html
// holds a hash of its content and may be cached for good.
export default defineConfig({
  base: '/console/',
  plugins: [svelte()],
  build: {
    assetsDir: '',
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
  },
  server: { proxy: { '/v1': 'http://127.0.0.1:8088', '/metrics': 'http://127.0.0.1:8088', '/readyz': 'http://127.0.0.1:8088' } },
})
