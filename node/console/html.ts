/**
 * Templates without a compiler: htm turns them into preact's elements. What is put into one is always text or an
 * element, never markup, so no name can become a tag.
 */
import htm from 'htm'
import { type ComponentChildren, h, type VNode } from 'preact'

export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: unknown[]) => VNode

export type Children = ComponentChildren
